"""The files of the demo: found in the checkout, copied to where they may be changed, their ports free.

The copy is what runs, so that the scenario edits nothing of the reader's. Ports are numbers in the text of the
configurations, of the registry's file and of the Procfile; each that is taken is replaced in all of them alike.
"""

from __future__ import annotations

import random
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from plait.api.errors import PlaitError

HOST = "127.0.0.1"
_PORT = re.compile(r"port_value: *(\d+)|address: *127\.0\.0\.1:(\d+)")
# Below the ports that kernels give to outgoing connections, which could be taken again before a child listens.
_FREE = range(16_000, 32_000)
_TRIES = 1000
_CLAIM = 14_999


@attrs.frozen
class Sidecar:
    """One ``mesh run`` of the Procfile."""

    name: str
    file: Path
    admin: int
    listeners: Mapping[str, int]


@attrs.frozen
class DemoFiles:
    """A copy that may be changed. ``ports`` are from the number in the original to the one in the copy."""

    folder: Path
    ports: Mapping[int, int]
    services: Mapping[str, tuple[str, ...]]
    commands: Mapping[str, tuple[str, ...]]
    sidecars: Mapping[str, Sidecar]


def find(given: Path | None) -> Path:
    """The folder of the originals. Raises PlaitError where there is none."""
    if given is not None:
        places = [given]
    else:
        # core/src/plait/cli/demo in a checkout; an installed wheel has no examples beside it
        above = Path(__file__).resolve().parents[5:6]
        places = [folder / "examples" / "demo" for folder in (*above, Path.cwd())]
    for place in places:
        if (place / "Procfile").is_file():
            return place
    raise PlaitError(
        f"the files of the demo are not in {' or '.join(str(place) for place in places)}: run `mesh demo` in a "
        "checkout of Plait, or name their folder with --files"
    )


def claim_ports() -> socket.socket | None:
    """Claim the ports that the files name, until the socket is closed; None when another demo has them.

    Sidecars share a port with whoever else shares it, and bind it seconds after it was found to be free: two demos that
    start together would mix their traffic.
    """
    sock = socket.socket()
    try:
        sock.bind((HOST, _CLAIM))
    except OSError:
        sock.close()
        return None
    return sock


def copy(source: Path, folder: Path, *, free_ports: bool = False) -> DemoFiles:
    """Copy and read them; raises PlaitError for what cannot be understood."""
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.log", "*.lock"))
    texts = {path: path.read_text() for path in (*sorted(folder.glob("*.yaml")), folder / "Procfile")}
    found = {int(one or other) for text in texts.values() for one, other in _PORT.findall(text)}
    ports = _free(sorted(found), any_port=free_ports)
    changed = {str(port): str(new) for port, new in ports.items() if port != new}
    if changed:
        numbers = re.compile(rf"\b({'|'.join(changed)})\b")
        for path, text in texts.items():
            path.write_text(numbers.sub(lambda match: changed[match[0]], text))
    commands = _procfile(folder / "Procfile")
    sidecars = {name: _sidecar(name, folder, words) for name, words in commands.items() if words[0] == "mesh"}
    argvs = {name: _argv(words) for name, words in commands.items()}
    services = {name: argv for name, argv in argvs.items() if name not in sidecars}
    return DemoFiles(folder, ports, services, argvs, sidecars)


def set_weights(file: Path, weights: Mapping[str, int]) -> None:
    """Change the weights of a weighted route by the names of its clusters. Raises PlaitError if one is not there."""
    text = file.read_text()
    for name, weight in weights.items():
        text, times = re.subn(rf"(\bname: *{re.escape(name)}, *weight: *)\d+", rf"\g<1>{weight}", text)
        if times != 1:
            raise PlaitError(f"{file.name} has {times} weights of {name}: keep one line `{{name: {name}, weight: N}}`")
    file.write_text(text)


def weights(file: Path) -> dict[str, int]:
    """The weights as they stand in the file."""
    found = re.findall(r"\bname: *([\w-]+), *weight: *(\d+)", file.read_text())
    return {name: int(weight) for name, weight in found}


def _procfile(path: Path) -> dict[str, list[str]]:
    commands = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        name, rest = words[0].removesuffix(":"), words[1:]
        if not words[0].endswith(":") or not rest or name in commands:
            raise PlaitError(f"{path.name}:{number}: expected `name: command`, each name once")
        commands[name] = rest
    return commands


def _argv(words: list[str]) -> tuple[str, ...]:
    known = {"python": (sys.executable,), "mesh": (sys.executable, "-m", "plait")}
    return (*known.get(words[0], (words[0],)), *words[1:])


def _sidecar(name: str, folder: Path, words: list[str]) -> Sidecar:
    try:
        file = folder / words[words.index("-c") + 1]
        document: Any = yaml.safe_load(file.read_text())
        admin = int(document["admin"]["address"]["socket_address"]["port_value"])
        listeners = {
            str(one["name"]): int(one["address"]["socket_address"]["port_value"])
            for one in document["static_resources"]["listeners"]
        }
    except (ValueError, IndexError, KeyError, TypeError, OSError, yaml.YAMLError) as error:
        raise PlaitError(
            f"Procfile: {name}: expected `mesh run -c FILE`, and ports of admin and listeners in the file: {error}"
        ) from error
    return Sidecar(name, file, admin, listeners)


def _free(ports: list[int], *, any_port: bool) -> dict[int, int]:
    chosen: dict[int, int] = {}
    for port in ports:
        if not any_port and _is_free(port):
            chosen[port] = port
            continue
        for candidate in random.sample(_FREE, _TRIES):
            if candidate not in ports and candidate not in chosen.values() and _is_free(candidate):
                chosen[port] = candidate
                break
        else:
            raise PlaitError(f"no free port found on {HOST}: end something that listens there")
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
        return True
