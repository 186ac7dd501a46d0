"""Settings as they are written, and what is wrong with them."""

import pickle
from typing import Any

import pytest

from plait import ConfigError, Extension
from plait.plugins import Catalogue, discover
from plait.xds.positions import Positions, Where
from plait.xds.translator import Translator
from plait_telemetry_mixer import MixerSettings
from plait_telemetry_mixer.adapters import DenierSettings, ListSettings, StatusSettings
from plait_telemetry_mixer.translate import mixer


def settings(**fields: Any) -> MixerSettings:
    return mixer(fields, Where(Positions.nowhere("m.yaml")), Translator(Catalogue(discover())))


DENY = {"name": "deny", "adapter": "denier", "params": {"status": {"code": 7, "message": "no"}}}
NOTHING = {"name": "nothing", "template": "checknothing"}
ENTRY = {"name": "entry", "template": "listentry", "params": {"value": 'request.headers["x-user"] | "nobody"'}}
RULE = {"match": 'request.path == "/x"', "actions": [{"handler": "deny", "instances": ["nothing"]}]}


def test_parameters_become_the_adapters_own_settings() -> None:
    made = settings(
        handlers=[DENY, {"name": "users", "adapter": "listchecker", "params": {"overrides": ["a"], "blacklist": True}}],
        instances=[NOTHING, ENTRY],
        rules=[RULE],
    )
    plugin = "policies:mixer-adapters"
    assert made.handlers == (
        Extension("deny", "denier", DenierSettings(StatusSettings(7, "no")), plugin),
        Extension("users", "listchecker", ListSettings(("a",), True), plugin),
    )
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"handler": []}, ("handler",), "unknown field 'handler'"),
        ({"handlers": [{**DENY, "name": ""}]}, ("handlers", 0), "the handler has no name"),
        ({"handlers": [{**DENY, "adapter": "deny"}]}, ("handlers", 0, "adapter"), "adapter 'deny' cannot be used"),
        (
            {"handlers": [{**DENY, "params": {"status": {"cod": 7}}}]},
            ("handlers", 0, "params", "status", "cod"),
            "unknown field 'cod'",
        ),
        ({"handlers": [DENY, DENY]}, ("handlers",), "two handlers have one name"),
        ({"instances": [NOTHING, NOTHING]}, ("instances", 1), "instance 'nothing' is given again"),
        (
            {"instances": [{"name": "a", "template": "listentri"}]},
            ("instances", 0, "template"),
            "template 'listentri' is unknown, did you mean 'listentry'",
        ),
        (
            {"instances": [{"name": "a", "template": "quota"}]},
            ("instances", 0, "template"),
            "template quota is for a quota, expected one for a check",
        ),
        (
            {"instances": [{"name": "a", "template": "listentry"}]},
            ("instances", 0, "params"),
            "template listentry needs the field 'value'",
        ),
        (
            {"instances": [{"name": "a", "template": "listentry", "params": {"value": "request.size"}}]},
            ("instances", 0, "params", "value"),
            "expression 'request.size': it is of type INT64, at character 1, expected STRING",
        ),
        (
            {"instances": [{"name": "a", "template": "listentry", "params": {"value": 3}}]},
            ("instances", 0, "params", "value"),
            "'value' is of the wrong kind, expected an expression, as text",
        ),
        (
            {"instances": [{"name": "a", "template": "authorization", "params": {"subject": {"usr": '"x"'}}}]},
            ("instances", 0, "params", "subject", "usr"),
            "field 'usr' is unknown, did you mean 'user'",
        ),
        (
            {"instances": [{"name": "a", "template": "authorization", "params": {"subject": "x"}}]},
            ("instances", 0, "params", "subject"),
            "'subject' is of the wrong kind, expected a mapping",
        ),
        (
            {"instances": [{**NOTHING, "attribute_bindings": {"source.uid": "$out.uid"}}]},
            ("instances", 0, "attribute_bindings"),
            "template checknothing makes no attributes",
        ),
        ({"rules": [{"match": "request.path"}]}, ("rules", 0, "match"), "expression 'request.path': it is of type"),
        ({"rules": [RULE]}, ("rules", 0, "actions", 0, "handler"), "handler 'deny' is unknown, known are none"),
        (
            {"handlers": [DENY], "rules": [RULE]},
            ("rules", 0, "actions", 0, "instances", 0),
            "instance 'nothing' is unknown",
        ),
        (
            {"handlers": [DENY], "rules": [{"actions": [{"handler": "deny", "instances": []}]}]},
            ("rules", 0, "actions", 0),
            "the action has no instances",
        ),
        (
            {
                "handlers": [{"name": "deny", "adapter": "list"}],
                "instances": [NOTHING],
                "rules": [RULE],
            },
            ("rules", 0, "actions", 0, "instances", 0),
            "adapter 'list' does not handle template 'checknothing', expected an instance of listentry",
        ),
        (
            {"rules": [{"request_header_operations": [{"name": ":path", "values": ['"x"']}]}]},
            ("rules", 0, "request_header_operations", 0, "name"),
            "header ':path' cannot be changed",
        ),
        (
            {"rules": [{"response_header_operations": [{"name": "x", "operation": "REMOVE", "values": ['"x"']}]}]},
            ("rules", 0, "response_header_operations", 0),
            "REMOVE with 1 values",
        ),
        (
            {"rules": [{"request_header_operations": [{"name": "x"}]}]},
            ("rules", 0, "request_header_operations", 0),
            "REPLACE with 0 values",
        ),
        ({"attribute_manifest": {"a.b": "STR"}}, ("attribute_manifest", "a.b"), "'STR' is no type of values"),
        ({"attribute_manifest": {"a b": "STRING"}}, ("attribute_manifest", "a b"), "'a b' is no name of an attribute"),
        (
            {"attribute_manifest": {"source.ip": "STRING"}},
            ("attribute_manifest", "source.ip"),
            "attribute source.ip is of type IP_ADDRESS",
        ),
        (
            {"mixer_attributes": {"source.nam": "x"}},
            ("mixer_attributes", "source.nam"),
            "attribute 'source.nam' is unknown, did you mean 'source.name'",
        ),
        (
            {"mixer_attributes": {"source.port": "x"}},
            ("mixer_attributes", "source.port"),
            "invalid literal",
        ),
        ({"check_cache_entries": -1}, ("check_cache_entries",), "check_cache_entries is -1"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(
    fields: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**fields)
    assert str(caught.value).startswith(message)
    assert caught.value.path == path
