"""A short-lived process that reads the configuration: ``python -m plait.runtime.loader --fd N``.

Reading Envoy's configuration takes protobuf, YAML and cattrs, some tens of megabytes of code that nothing needs once
the frozen model is there. This process has them, sends the model and ends; the supervisor stays small.
"""

from __future__ import annotations

import os
import socket
import sys

from plait.api.errors import PlaitError
from plait.runtime.configuration import Failed, Loaded, load, pack
from plait.runtime.logs import configure_logging
from plait.runtime.spawning import receive_blocking, send_blocking


def main(arguments: list[str]) -> int:
    """``--fd N``: one ``RunOptions`` comes in, one ``Loaded`` or ``Failed`` goes out."""
    with socket.socket(fileno=int(arguments[arguments.index("--fd") + 1])) as sock:
        try:
            options = receive_blocking(sock)
        except EOFError:
            return 1
        configure_logging(options.log_level)
        answer: Loaded | Failed
        try:
            answer = load(options)
        except PlaitError as error:
            answer = pack(error)
        try:
            send_blocking(sock, answer)
        except BrokenPipeError:
            return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # there is nothing to tear down, and somebody waits
