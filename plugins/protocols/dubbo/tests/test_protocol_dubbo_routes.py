"""What routes of dubbo_proxy ask of a call, over a frame of Java Dubbo 3.1.11."""

import pytest

from plait import CustomCondition, HeaderMatcher, Request, StringMatcher
from plait_protocol_dubbo import DubboServer
from plait_protocol_dubbo.routes import Argument, ArgumentsMatch, AttachmentsMatch, ServiceIs

HELLO = bytes.fromhex(  # D$Greeter 1.0.0 in the group g1: hello("mesh")
    "dabbc200255a29a81cdb3e7a0000009605322e302e320944244772656574657205312e302e300568656c6c6f124c6a6176612f6c616e672f"
    "537472696e673b046d657368480470617468094424477265657465721272656d6f74652e6170706c69636174696f6e056a636f6e7309696e"
    "74657266616365094424477265657465720776657273696f6e05312e302e300774696d656f757404343030300567726f75700267315a"
)


def hello(argument: bytes = b"\x04mesh") -> Request:
    frame = HELLO.replace(b"\x04mesh", argument)
    length = len(frame) - 16
    (request,) = DubboServer().feed(frame[:12] + length.to_bytes(4, "big") + frame[16:])
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (ServiceIs(), True),
        (ServiceIs("1.0.0"), True),
        (ServiceIs("1.0"), False),
        (ServiceIs(group="g1"), True),
        (ServiceIs(group="g"), False),
        (ServiceIs("1.0.0", "g1"), True),
        (ServiceIs("1.0.0", "g2"), False),
        (AttachmentsMatch((HeaderMatcher("remote.application", StringMatcher("exact", "jcons")),)), True),
        (AttachmentsMatch((HeaderMatcher("timeout", range=(4000, 4001)), HeaderMatcher("Group"))), True),
        (AttachmentsMatch((HeaderMatcher("absent"),)), False),
        (ArgumentsMatch((Argument(0, "mesh"),)), True),
        (ArgumentsMatch((Argument(0),)), True),
        (ArgumentsMatch((Argument(0, "mess"),)), False),
        (ArgumentsMatch((Argument(0, range=(0, 9)),)), False),
        (ArgumentsMatch((Argument(0, "mesh"), Argument(1, ""))), False),
    ],
)
def test_conditions_over_a_call(condition: CustomCondition, holds: bool) -> None:
    assert condition.compile()(hello()) is holds


@pytest.mark.parametrize(
    ("encoded", "inside"),
    [
        (b"\x97", True),  # the int 7
        (b"\xe7", True),  # the long 7
        (b"\x017", True),  # the string "7"
        (b"\x02+7", True),
        (b"\x99", False),  # the int 9
        (b"\x8f", False),  # the int -1
        (b"\x03 7 ", False),
        (b"T", False),
        (b"N", False),
    ],
)
def test_numbers_in_a_range(encoded: bytes, inside: bool) -> None:
    assert ArgumentsMatch((Argument(0, range=(0, 9)),)).compile()(hello(encoded)) is inside


def test_exact_arguments_that_are_no_strings() -> None:
    for encoded, text in ((b"T", "true"), (b"F", "false"), (b"\x97", "7")):
        assert ArgumentsMatch((Argument(0, text),)).compile()(hello(encoded))


def test_a_call_that_cannot_be_read_has_no_arguments() -> None:
    broken = hello(b"\x45")
    assert not ArgumentsMatch((Argument(0),)).compile()(broken)
    assert ServiceIs("1.0.0").compile()(broken)
