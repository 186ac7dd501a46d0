"""Triple with apache-dubbo: `server PORT`, or `client PORT...` and `streams PORT...`, which print JSON lines.

Its messages are made and read by functions; these speak protobuf's StringValue. What 3.0.0b1 cannot do: its server
sends a head before each message of a stream, and answers on its newest connection only; its client ends every request
with an empty message, which others take for one more message, so that only its own server understands its unary calls.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import dubbo
from dubbo.configs import ReferenceConfig, ServiceConfig
from dubbo.proxy.handlers import RpcMethodHandler, RpcServiceHandler

FACE = "plait.interop.Triple"
LARGE = "x" * 300_000


def write(text: str) -> bytes:
    """A StringValue: field 1."""
    data = text.encode()
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return b"\n" + length + bytes([size]) + data if data else b""


def read(data: bytes) -> str:
    at = 1
    while data[at : at + 1] and data[at] > 127:
        at += 1
    return bytes(data[at + 1 :]).decode()


def reject(text: str) -> str:
    raise ValueError(f"refused: {text}")


def serve(port: int) -> None:
    methods = [("echo", lambda text: text), ("reject", reject)]
    handlers = [
        RpcMethodHandler.unary(method, name, request_deserializer=read, response_serializer=write)
        for name, method in methods
    ]
    service = RpcServiceHandler(service_name=FACE, method_handlers=handlers)
    dubbo.Server(ServiceConfig(service, host="127.0.0.1", port=port)).start()
    print("ready", flush=True)
    threading.Event().wait()


def tell(port: int, case: str, ask: Callable[[], str]) -> None:
    told: dict[str, Any] = {"port": port, "case": case}
    try:
        told["value"] = ask()
    except Exception as error:  # noqa: BLE001  # told to who asked
        told["error"] = str(error)
    print(json.dumps(told), flush=True)


def connect(port: int) -> dubbo.Client:
    return dubbo.Client(ReferenceConfig(protocol="tri", service=FACE, host="127.0.0.1", port=port))


def ask_unary(port: int) -> None:
    client = connect(port)
    echo = client.unary("echo", write, read)
    tell(port, "protobuf", lambda: str(echo("ä €")))
    tell(port, "protobuf large", lambda: str(echo(LARGE) == LARGE).lower())
    tell(port, "protobuf error", lambda: str(client.unary("reject", write, read)("nö")))


def ask_streams(port: int) -> None:
    client = connect(port)

    def gather() -> str:
        stream = client.client_stream("gather", write, read)()
        for word in "ab":
            stream.write(word)
        stream.done_writing()
        return str(stream.read(8))

    def talk() -> str:
        stream = client.bi_stream("talk", write, read)()
        got = []
        for word in "ab":  # each answer is waited for before the next is sent
            stream.write(word)
            got.append(stream.read(8))
        stream.done_writing()
        return ",".join(map(str, got))

    tell(port, "client streaming", gather)
    tell(port, "bidirectional", talk)


if sys.argv[1] == "server":
    serve(int(sys.argv[2]))
else:
    for number in sys.argv[2:]:
        (ask_unary if sys.argv[1] == "client" else ask_streams)(int(number))
    sys.stdout.flush()
    os._exit(0)  # its threads go on for ever
