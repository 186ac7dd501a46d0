"""The frozen model as JSON has it."""

import enum
import json

import attrs

import plait
from plait.cli.config import plain


class Mode(enum.Enum):
    SOFT = "soft"


@attrs.frozen
class Settings:
    mode: Mode = Mode.SOFT
    body: bytes = b"a\xff"
    words: frozenset[str] = frozenset({"b", "a"})
    call: object = ...


def test_objects_name_their_types() -> None:
    listener = plait.Listener(
        "in", plait.Address("127.0.0.1", 80), listener_filters=(plait.Extension("a", "b", Settings()),)
    )
    shown = plain(listener)
    assert isinstance(shown, dict)
    assert shown["@type"] == "plait.Listener"
    assert shown["name"] == "in"
    assert shown["address"] == {
        "@type": "plait.Address",
        "host": "127.0.0.1",
        "port": 80,
        "path": "",
        "mode": 0,
        "udp": False,
    }
    [extension] = shown["listener_filters"]
    assert extension["settings"] == {
        "@type": f"{__name__}.Settings",
        "mode": "soft",
        "body": "a\\xff",
        "words": ["a", "b"],
        "call": "Ellipsis",
    }
    json.dumps(shown)


def test_every_field_of_the_model_is_shown() -> None:
    shown = plain(plait.Bootstrap())
    assert isinstance(shown, dict)
    assert set(shown) == {"@type", *(field.name for field in attrs.fields(plait.Bootstrap))}
