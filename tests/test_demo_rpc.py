"""The programs of `examples/demo/rpc`: their frames beside those of Java, and what a lost connection does to a caller.

The frames were captured between SOFARPC 5.13.2 and between Dubbo 3.1.11, client and server on Java 17.
"""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RPC = Path(__file__).parents[1] / "examples" / "demo" / "rpc"
SOFARPC_CALL = bytes.fromhex(
    "0101000101000000010100000fa0002c0097000000d9636f6d2e616c697061792e736f66612e7270632e636f72652e726571756573742e536f"
    "66615265717565737400000018736f66615f686561645f7461726765745f736572766963650000000b522448656c6c6f3a312e300000000361"
    "707000000003636c690000000870726f746f636f6c00000004626f6c7400000007736572766963650000000b522448656c6c6f3a312e300000"
    "0015736f66615f686561645f6d6574686f645f6e616d650000000373617900000004747970650000000473796e634fbc636f6d2e616c697061"
    "792e736f66612e7270632e636f72652e726571756573742e536f666152657175657374950d7461726765744170704e616d650a6d6574686f64"
    "4e616d651774617267657453657276696365556e697175654e616d650c7265717565737450726f70730d6d6574686f64417267536967736f90"
    "4e037361790b522448656c6c6f3a312e304d0361707003636c690870726f746f636f6c04626f6c7404747970650473796e637a567400075b73"
    "7472696e676e02106a6176612e6c616e672e537472696e6703696e747a046d65736893"
)
SOFARPC_ANSWER = bytes.fromhex(
    "010000020100000001010000002e00000000006d636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e536f66"
    "61526573706f6e73654fbe636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e536f6661526573706f6e7365"
    "940769734572726f72086572726f724d73670b617070526573706f6e73650d726573706f6e736550726f70736f90464e0b68656c6c6f206d65"
    "7368334e"
)
DUBBO_CALL = bytes.fromhex(
    "dabbc200255a29a81cdb3e7a0000009605322e302e320944244772656574657205312e302e300568656c6c6f124c6a6176612f6c616e672f53"
    "7472696e673b046d657368480470617468094424477265657465721272656d6f74652e6170706c69636174696f6e056a636f6e7309696e7465"
    "72666163650944244772656574657207766572"
    "73696f6e05312e302e300774696d656f757404343030300567726f75700267315a"
)
DUBBO_ANSWER = bytes.fromhex("dabb0214255a29a81cdb3e7a0000001a940a68656c6c6f206d6573684805647562626f05322e302e325a")
DUBBO_ID = 0x255A29A81CDB3E7A


@pytest.fixture(scope="module")
def protocols() -> Iterator[dict[str, ModuleType]]:
    """The modules of the protocols, imported as the programs import them."""
    sys.path.insert(0, str(RPC))
    try:
        yield {name: importlib.import_module(name) for name in ("sofarpc", "dubbo")}
    finally:
        sys.path.remove(str(RPC))
        for name in ("sofarpc", "dubbo", "call"):
            sys.modules.pop(name, None)


def read(function: Any, data: bytes) -> Any:
    """What an asynchronous reader makes of bytes, all of them."""

    async def run() -> Any:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        found = await function(reader)
        assert await reader.read() == b"", "nothing is left over"
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("protocol", "frame", "id", "method"),
    [("sofarpc", SOFARPC_CALL, 1, "say"), ("dubbo", DUBBO_CALL, DUBBO_ID, "hello")],
)
def test_server_reads_the_calls_of_java(
    protocols: dict[str, ModuleType], protocol: str, frame: bytes, id: int, method: str
) -> None:
    assert read(protocols[protocol].read_call, frame) == (id, method, "mesh")


@pytest.mark.parametrize(
    ("protocol", "frame", "id", "text"),
    [("sofarpc", SOFARPC_ANSWER, 1, "hello mesh3"), ("dubbo", DUBBO_ANSWER, DUBBO_ID, "hello mesh")],
)
def test_answers_are_those_of_java_to_the_byte(
    protocols: dict[str, ModuleType], protocol: str, frame: bytes, id: int, text: str
) -> None:
    assert protocols[protocol].result(id, text) == frame
    assert read(protocols[protocol].read_answer, frame) == (id, text, "")


def test_sofarpc_call_has_the_fields_of_java_in_their_order(protocols: dict[str, ModuleType]) -> None:
    """It differs in the service's name, the timeout, and in having one argument."""
    ours = protocols["sofarpc"].request(1, "say", "mesh", "cli")
    head, rest = ours[:22], ours[22:].replace(b"\x10demo.Greeter:1.0", b"\x0bR$Hello:1.0")
    rest = rest.replace(b"[stringn\x01\x10java.lang.String", b"[stringn\x02\x10java.lang.String\x03int") + b"\x93"
    assert head[:10] == SOFARPC_CALL[:10]
    assert rest == SOFARPC_CALL[22:]


def test_dubbo_call_has_the_fields_of_java_in_their_order(protocols: dict[str, ModuleType]) -> None:
    """It differs in the interface's name, the timeout and the group, which it does not name."""
    ours = protocols["dubbo"].request(DUBBO_ID, "hello", "mesh", "jcons")
    rest = ours[16:].replace(b"\x0cdemo.Greeter", b"\x09D$Greeter").replace(b"\x043000Z", b"\x044000\x05group\x02g1Z")
    assert ours[:12] == DUBBO_CALL[:12]
    assert rest == DUBBO_CALL[16:]


@pytest.mark.parametrize("protocol", ["sofarpc", "dubbo"])
def test_heartbeat_is_told_from_a_call_and_its_answer_is_no_answer_to_one(
    protocols: dict[str, ModuleType], protocol: str
) -> None:
    heartbeats = {
        "sofarpc": bytes.fromhex("010100000100000007010000000000000000000000 00"),
        "dubbo": bytes.fromhex("dabbe2000000000000000007000000014e"),
    }
    answers = {
        "sofarpc": bytes.fromhex("0100000001000000070100000000000000000000"),
        "dubbo": bytes.fromhex("dabb22140000000000000007000000014e"),
    }
    assert read(protocols[protocol].read_call, heartbeats[protocol]) == (7, "", "")
    assert protocols[protocol].heartbeat_answer(7) == answers[protocol]


@pytest.mark.parametrize(("protocol", "error"), [("sofarpc", "SOFARPC: no"), ("dubbo", "Dubbo status 40: no")])
def test_failure_is_an_error_to_the_caller(protocols: dict[str, ModuleType], protocol: str, error: str) -> None:
    assert read(protocols[protocol].read_answer, protocols[protocol].failure(3, "no")) == (3, "", error)


@pytest.mark.parametrize("protocol", ["sofarpc", "dubbo"])
def test_caller_ends_with_an_error_when_its_connection_is_lost(protocol: str) -> None:
    async def run() -> tuple[int | None, bytes, bytes]:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.close()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            port = str(server.sockets[0].getsockname()[1])
            child = await asyncio.create_subprocess_exec(
                sys.executable, RPC / "caller.py", protocol, port, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, err = await child.communicate()
        return child.returncode, out, err

    code, out, err = asyncio.run(run())
    assert (code, out) == (1, b"")
    assert b"the connection is of no use any more" in err
    assert b"Traceback" not in err
