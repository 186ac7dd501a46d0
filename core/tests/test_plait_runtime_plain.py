"""The frozen model as JSON has it: whole, with types, or without what has its default."""

import enum
import json

import attrs

from plait.api import Address, Bootstrap, Extension, FilterChain, Listener
from plait.runtime.plain import plain


class Mode(enum.Enum):
    SOFT = "soft"


@attrs.frozen
class Odd:
    mode: Mode = Mode.SOFT
    body: bytes = b"a\xff"
    words: frozenset[str] = frozenset({"b", "a"})
    call: object = ...


def test_objects_name_their_types() -> None:
    listener = Listener("in", Address("127.0.0.1", 80), listener_filters=(Extension("a", "b", Odd()),))
    shown = plain(listener, whole=True)
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
        "@type": f"{__name__}.Odd",
        "mode": "soft",
        "body": "a\\xff",
        "words": ["a", "b"],
        "call": "Ellipsis",
    }
    json.dumps(shown)


def test_every_field_of_the_model_is_shown() -> None:
    shown = plain(Bootstrap(), whole=True)
    assert isinstance(shown, dict)
    assert set(shown) == {"@type", *(field.name for field in attrs.fields(Bootstrap))}


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Settings:
    words: tuple[str, ...] = ()
    raw: bytes = b""
    colour: Colour = Colour.RED
    names: frozenset[str] = frozenset()
    count: int = 1


def test_model_is_shown_without_its_defaults() -> None:
    settings = Settings(("a",), b"x\xff", names=frozenset(("b", "a")))
    extension = Extension("fault", "acme.fault", settings)
    listener = Listener("in", Address("::1", 80), (FilterChain(filters=(extension,)),), tcp_backlog_size=5)
    assert plain(listener) == {
        "name": "in",
        "address": {"host": "::1", "port": 80},
        "filter_chains": [
            {
                "name": "",
                "filters": [
                    {
                        "name": "fault",
                        "type": "acme.fault",
                        "settings": {"words": ["a"], "raw": "x\\xff", "names": ["a", "b"]},
                    }
                ],
            }
        ],
        "tcp_backlog_size": 5,
    }
    assert plain(Colour.RED) == "red"
    assert plain(Settings(count=True)) == {"count": True}
    assert plain({1: object}) == {"1": "<class 'object'>"}
