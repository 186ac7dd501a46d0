"""Dubbo with dubbo-py: ``server PORT``, or ``client`` with calls on standard input."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

import dubbo.server
from dubbo.client import DubboClient
from dubbo.codec.hessian2 import new_object
from dubbo.java_class import JavaList, JavaMap, JavaString
from lines import say, serve

FACE = "plait.interop.Echo"
NOTED: set[str] = set()


class Loopback(dubbo.server._DubboServer):
    """The library's server listens on every address."""

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__(("127.0.0.1", address[1]), handler)


def run_server(port: int) -> None:
    dubbo.server._DubboServer = Loopback
    dubbo.server.get_pub_ip = lambda: "127.0.0.1"
    service = dubbo.server.DubboService(port, "interop-server")

    def older(person: Any, years: int) -> Any:
        fields = person._asdict()
        return new_object("plait.interop.Person", **{**fields, "age": fields["age"] + years})

    def fail(message: str) -> None:
        raise ValueError(message)

    def sleep(milliseconds: int) -> str:
        time.sleep(milliseconds / 1000)
        return "slept"

    def same(value: Any) -> Any:
        return list(value) if isinstance(value, list) else value

    methods: dict[str, Any] = dict.fromkeys(("text", "number", "map", "list"), same)
    methods |= {"older": older, "fail": fail, "sleep": sleep, "note": NOTED.add, "noted": NOTED.__contains__}
    for name, method in methods.items():
        service.add_method(FACE, name, method)
    service.start()
    say("ready")
    threading.Event().wait()


class Caller:
    """One client for each server; it knows no ids, so one call at a time."""

    def __init__(self) -> None:
        self._clients: dict[str, DubboClient] = {}
        self._lock = threading.Lock()

    def __call__(self, line: dict[str, Any]) -> Any:
        with self._lock:
            target, method = line["target"], line["method"]
            if target not in self._clients:
                host, port = target.split(":")
                self._clients[target] = DubboClient(host, int(port))
            client = self._clients[target]
            client._timeout = line["timeout_ms"] / 1000
            arguments = [typed(each) for each in line["args"]]
            asked = {"service_name": FACE, "service_version": "1.0", "method_name": method, "args": arguments}
            asked["attachment"] = {"path": FACE, "interface": FACE, "version": "1.0"}
            if method == "note":
                client.send_request_without_response(**asked)
                return None
            response = client.send_request_and_return_response(**asked)
        if not response.ok:
            raise RuntimeError(f"{response.status}: {response.error}")
        return plain(response.data)


def typed(value: Any) -> Any:
    if isinstance(value, dict) and "$person" in value:
        return new_object("plait.interop.Person", **value["$person"])
    kinds: dict[type, Any] = {str: JavaString, dict: JavaMap, list: JavaList}
    kind = kinds.get(type(value))
    return value if kind is None else kind(value)


def plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        fields = value._asdict()
        if "detailMessage" in fields:
            raise RuntimeError(fields["detailMessage"])  # it takes exceptions for values
        return {"$person": fields}
    return list(value) if isinstance(value, list) else value


def main() -> None:
    logging.disable()
    if sys.argv[1] == "client":
        serve(Caller())
    else:
        run_server(int(sys.argv[2]))


if __name__ == "__main__":
    main()
