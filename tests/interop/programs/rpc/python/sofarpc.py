"""SOFARPC with anthunder, Bolt v1 and protobuf: ``server PORT``, or ``client`` with calls on standard input."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

from anthunder import AioClient, AioListener, BaseService, Client
from anthunder.mesh import mesh_client
from google.protobuf.wrappers_pb2 import StringValue
from lines import say, serve
from mytracer import SpanContext

FACE = "plait.interop.EchoPb:1.0"
NOTED: set[str] = set()


class EchoPb(BaseService):
    """The service; arguments and values are messages of their own."""

    def text(self, body: bytes) -> bytes:
        return body

    def fail(self, body: bytes) -> bytes:
        raise ValueError(StringValue.FromString(body).value)

    def sleep(self, body: bytes) -> bytes:
        time.sleep(int(StringValue.FromString(body).value) / 1000)
        return message("slept")

    def note(self, body: bytes) -> bytes:
        NOTED.add(StringValue.FromString(body).value)
        return message("noted")

    def noted(self, body: bytes) -> bytes:
        return message(str(StringValue.FromString(body).value in NOTED).lower())


def message(text: str) -> bytes:
    data: bytes = StringValue(value=text).SerializeToString()
    return data


def no_sidecar(self: Any) -> None:
    """The library announces itself to a sidecar of its own kind, on a fixed port; here is none."""
    raise ConnectionRefusedError("no sidecar with MOSN's API")


class Calls(AioClient):
    """Calls to one server; by itself the library looks for the address in a table of services."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self.target = (host, int(port))
        super().__init__("interop-client")

    def _get_address(self, interface: str) -> tuple[str, int]:
        return self.target


class OneWay(Client):
    """One-way calls to one server, which the asynchronous client does not make."""

    _get_address = Calls._get_address

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self.target = (host, int(port))
        super().__init__("interop-client")


class Caller:
    """Both clients for each server."""

    def __init__(self) -> None:
        self._clients: dict[str, tuple[Calls, OneWay]] = {}
        self._lock = threading.Lock()

    def __call__(self, line: dict[str, Any]) -> Any:
        target, method, body = line["target"], line["method"], message(line["args"][0])
        with self._lock:
            if target not in self._clients:
                self._clients[target] = (Calls(target), OneWay(target))
            calls, one_way = self._clients[target]
            if method == "note":
                one_way.invoke_oneway(FACE, method, body, spanctx=SpanContext())
                return None
        content = calls.invoke_sync(FACE, method, body, spanctx=SpanContext(), timeout_ms=line["timeout_ms"])
        return StringValue.FromString(content).value


def main() -> None:
    logging.disable()
    mesh_client.MeshClient.startup = no_sidecar
    if sys.argv[1] == "client":
        serve(Caller())
        return
    listener = AioListener(("127.0.0.1", int(sys.argv[2])), "interop-server")
    listener.handler.register_interface(FACE, EchoPb)
    threading.Thread(target=listener.run_forever, daemon=True).start()
    while listener._server is None:  # the library does not say when it listens
        time.sleep(0.01)
    say("ready")
    threading.Event().wait()


if __name__ == "__main__":
    main()
