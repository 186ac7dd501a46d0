"""Hessian as others write and read it: hessian.js for Dubbo's dialect, sofa-hessian-node for SOFA's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plait_protocol_hessian import Date, Dialect, HessianObject, Long, TypedList, TypedMap, dumps, loads
from tests.interop.peers import ROOT, tool

PROGRAM = Path(__file__).parent / "programs" / "hessian.js"
LIBRARIES = ROOT / ".peers" / "node" / "node_modules"
NAMES = {Dialect.HESSIAN2: "hessian2", Dialect.SOFA3: "sofa3"}

INTS = [0, 1, -1, -16, -17, 47, 48, -2048, -2049, 2047, 2048, -262144, -262145, 262143, 262144, 2**31 - 1, -(2**31)]
LONGS = [*INTS, -8, -9, 15, 16, 2**31, -(2**31) - 1, 2**53 - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]
DOUBLES = [0.0, 1.0, 2.0, -1.0, 127.0, 128.0, -128.0, -129.0, 32767.0, 32768.0, -32769.0, 0.5, 1.5, 0.001, 12.25]
DOUBLES += [-12.345, 65.536, 3.14159, 0.1, 1e300, -1e-300, 5e-324, 2147483.647, 1e10, 2.0**40]
TEXTS = ["", "hello", "a" * 31, "a" * 32, "é" * 40, "你好", "😀", "a😀b", "\ud83d", "x\x00y", "a" * 1023, "a" * 1024]
TEXTS += ["a" * 0x8000, "a" * 0x8001, "你" * 70_000, "😀" * 40_000, "a" + "😀" * 40_000]
BINARY = [b"", b"a", b"a" * 15, b"a" * 16, b"a" * 1023, b"a" * 1024, b"a" * 0x8000, bytes(range(256)) * 300]
DATES = [0, 60_000, 894_621_091_000, 894_621_060_000, -60_000, -1, 1_795_386_395_247]
CAR = HessianObject("example.Car", {"color": "red", "model": "corvette", "doors": 2, "mileage": Long(65536)})
VALUES: list[object] = [
    None, True, False, *INTS, *map(Long, LONGS), *DOUBLES, *TEXTS, *BINARY, *map(Date, DATES),
    [], [1, "a", None], list(range(7)), list(range(8)), list(range(300)), [[], [[]], {}],
    TypedList("[int", [1, 2]), TypedList("[string", ["a"] * 10),
    [TypedList("[int", [1]), TypedList("[long", [Long(1)]), TypedList("[int", [2, 3]), TypedList("[int", [4] * 300)],
    {}, {"a": 1, "b": {"c": Long(1)}}, {f"key {number}": number for number in range(300)},
    CAR, {"car": CAR, "one": {"a": 1}}, [TypedList("[example.Car", [CAR])],
    [HessianObject(f"example.Class{number}", {"number": number}) for number in range(40)],
    [HessianObject("example.Color", {"name": name}) for name in ("RED", "GREEN", "RED")],
    HessianObject("example.Node", {"next": HessianObject("example.Node", {"next": None})}),
    HessianObject("example.Nothing", {}),
]  # fmt: skip
# What only one side can be given: their encoders know no types of maps and no cycles.
_shared: list[object] = [1]
READ_BY_THEM: list[object] = [
    [_shared, _shared, {"again": _shared}],
    TypedMap("example.Table", {"a": 1}),
    [TypedMap("example.Table", {"a": 1}), TypedMap("example.Table", {"b": 2}), TypedList("example.Table", [1])],
]
WRITTEN_BY_THEM: list[object] = [{1: "a", 2: "b"}, {Long(1): "a", 1.5: "b", True: "c" * 40}]


def asked(value: object) -> Any:
    """The value for the program to build."""
    match value:
        case None | bool() | str():
            return value
        case Long():
            return {"long": str(value)}
        case int():
            return {"int": value}
        case float():
            return {"double": value}
        case Date():
            return {"date": value.ms}
        case bytes():
            return {"bytes": value.hex()}
        case TypedList():
            return {"type": value.type_name, "items": [asked(item) for item in value]}
        case [HessianObject() as one, two] if one is two:
            return {"twice": asked(one)}
        case list():
            return [asked(item) for item in value]
        case dict():
            return {"entries": [[asked(key), asked(item)] for key, item in value.items()]}
        case HessianObject():
            return {"type": value.type_name, "fields": [[name, asked(item)] for name, item in value.fields.items()]}
    raise AssertionError(value)


def expected(value: object) -> Any:
    """What the program tells of a value that it has read."""
    match value:
        case int() if not isinstance(value, bool):
            return int(value) if abs(value) < 2**53 else str(value)
        case Date():
            return {"date": value.ms}
        case bytes():
            return {"bytes": value.hex()}
        case TypedList():
            return {"type": value.type_name, "items": [expected(item) for item in value]}
        case list():
            return [expected(item) for item in value]
        case HessianObject():
            return {"type": value.type_name, "fields": {name: expected(item) for name, item in value.fields.items()}}
        case dict():
            fields = {key: expected(item) for key, item in value.items()}
            return {"type": value.type_name if isinstance(value, TypedMap) else None, "fields": fields}
    return value


def answers(questions: list[list[Any]]) -> list[Any]:
    if not (LIBRARIES / "hessian.js").exists() or not (LIBRARIES / "sofa-hessian-node").exists():
        pytest.skip("hessian.js and sofa-hessian-node are not in .peers/node: run tools/peers")
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    command: list[str | Path] = [tool("node"), PROGRAM, LIBRARIES]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("dialect", Dialect, ids=NAMES.get)
def test_what_they_write_is_read(dialect: Dialect) -> None:
    values = [*VALUES, [CAR, CAR], *WRITTEN_BY_THEM]
    written = answers([[NAMES[dialect], "encode", asked(value)] for value in values])
    for value, data in zip(values, written, strict=True):
        assert repr(loads(bytes.fromhex(data), dialect)) == repr([value])


@pytest.mark.parametrize("dialect", Dialect, ids=NAMES.get)
def test_they_read_what_is_written(dialect: Dialect) -> None:
    values = [*VALUES, [CAR, CAR], *READ_BY_THEM]
    read = answers([[NAMES[dialect], "decode", dumps(value, dialect=dialect).hex()] for value in values])
    for value, told in zip(values, read, strict=True):
        assert told == expected(value)


@pytest.mark.parametrize("dialect", Dialect, ids=NAMES.get)
def test_the_same_bytes_are_written(dialect: Dialect) -> None:
    values = [value for value in [*VALUES, [CAR, CAR]] if not isinstance(value, (float, bytes, dict))]
    written = answers([[NAMES[dialect], "encode", asked(value)] for value in values])
    for value, data in zip(values, written, strict=True):
        assert dumps(value, dialect=dialect).hex() == data, repr(value)[:200]
