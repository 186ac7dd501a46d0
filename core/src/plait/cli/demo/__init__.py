"""``mesh demo``: services and sidecars of ``examples/demo`` on loopback, with traffic through them.

This module is the verb; what happens is in ``scenario``, and nothing of it is imported before it is asked for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.api.extension import CommandType
from plait.cli.options import whole_number

FEWEST_REQUESTS = 400


def configure(parser: argparse.ArgumentParser) -> None:
    """How much, how it is told, and what is left behind."""
    parser.add_argument(
        "--requests",
        metavar="N",
        type=_requests,
        default=1600,
        help=f"about how many HTTP requests to send, at least {FEWEST_REQUESTS}",
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="the result as JSON; progress goes to standard error")
    parser.add_argument(
        "--files", metavar="DIR", type=Path, help="the folder to play instead of `examples/demo` of the checkout"
    )
    parser.add_argument(
        "--free-ports",
        action="store_true",
        help="take free ports for all; without it, only in place of those in the files that are taken",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the demo."""
    from plait.cli.demo.play import play

    return play(arguments)


def _requests(text: str) -> int:
    number = whole_number(text)
    if number < FEWEST_REQUESTS:
        raise argparse.ArgumentTypeError(f"{number} requests show too little, give at least {FEWEST_REQUESTS}")
    return number


COMMAND = CommandType("demo", "Watch requests pass through sidecars made of plugins", configure, run)
