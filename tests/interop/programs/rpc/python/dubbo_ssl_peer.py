"""Dubbo with dubbo-ssl-python: ``client`` with calls on standard input."""

from __future__ import annotations

import logging
from typing import Any

from lines import serve


def main() -> None:
    logging.disable()
    import warnings

    warnings.simplefilter("ignore")  # its threads are set up as Python 3.9 did
    from dubbo_ssl.client import DubboClient
    from dubbo_ssl.codec.encoder import Object

    def call(line: dict[str, Any]) -> Any:
        client = DubboClient("plait.interop.Echo", "", version="1.0", host=line["target"])
        arguments = [
            Object("plait.interop.Person", each.get("$person")) if isinstance(each, dict) else each
            for each in line["args"]
        ]
        value = client.call(line["method"], arguments, timeout=line["timeout_ms"] / 1000)
        return {"$person": value} if line["method"] == "older" else value

    serve(call)


main()
