"""The proxies that take turns: how each is started, configured and asked for its version.

A proxy can take part in a scenario when `configs/` holds a file for it: `http.yaml` is read by Plait and Envoy alike,
`http.haproxy.cfg` and `http.nginx.conf` by those two. To add a peer, add its suffix, a `Proxy` in `known` and files.
"""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.errors import BenchError

CONFIGS = Path(__file__).parent / "configs"
# The ports as they stand in the files, which can be run by hand with them.
LISTENER_PORT, ADMIN_PORT, UPSTREAM_PORT = 10000, 9901, 18080
_BASE_ID = "base-id"
# Whose configurations end in what.
SUFFIXES = {
    "plait": ".yaml",
    "envoy": ".yaml",
    "haproxy": ".haproxy.cfg",
    "nginx": ".nginx.conf",
    "nghttpx": ".nghttpx.conf",
    "mosn": ".mosn.json",
}
NAMES = tuple(SUFFIXES)
# The variable that names MOSN's binary, which no registry has.
MOSN = "MOSN"


@dataclass(frozen=True, slots=True)
class Ports:
    listener: int
    admin: int
    upstream: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """`command` is given the configuration file and a directory of its own to run in, `clean` that directory later."""

    name: str
    suffix: str
    has_admin: bool
    command: Callable[[Path, Path], list[str]]
    version: str
    clean: Callable[[Path], None] = lambda _: None

    def supports(self, config: str) -> bool:
        return has_config(config, self.suffix)

    def prepare(self, config: str, ports: Ports, directory: Path) -> list[str]:
        """Writes the configuration with `ports` into `directory`; the command to start."""
        source = CONFIGS / f"{config}{self.suffix}"
        target = directory / source.name
        target.write_text(with_ports(source.read_text(), ports))
        return self.command(target, directory)


def has_config(config: str, suffix: str) -> bool:
    return (CONFIGS / f"{config}{suffix}").exists()


def default_names() -> list[str]:
    """All proxies that can be had: MOSN only where somebody built one."""
    return [name for name in NAMES if name != "mosn" or os.environ.get(MOSN)]


def with_ports(text: str, ports: Ports) -> str:
    chosen = {LISTENER_PORT: ports.listener, ADMIN_PORT: ports.admin, UPSTREAM_PORT: ports.upstream}
    pattern = "|".join(str(port) for port in chosen)
    return re.sub(rf"\b(?:{pattern})\b", lambda match: str(chosen[int(match[0])]), text)


def known(names: list[str], mesh: Path, baseline: Path | None) -> list[Proxy]:
    """The proxies of these names, in this order, installed if need be; `baseline` adds a second Plait."""
    found: list[Proxy] = []
    for name in names:
        match name:
            case "plait":
                found.append(plait("plait", mesh))
            case "envoy":
                found.append(_envoy(peers.ensure_envoy()))
            case "haproxy":
                peers.ensure_debian({"haproxy"})
                found.append(_haproxy(peers.command("haproxy")))
            case "nginx":
                peers.ensure_debian({"nginx", "/usr/lib/nginx/modules/ngx_stream_module.so"})
                found.append(_nginx(peers.command("nginx")))
            case "nghttpx":
                peers.ensure_debian({"nghttpx"})
                found.append(_nghttpx(peers.command("nghttpx")))
            case "mosn":
                found.append(_mosn(os.environ.get(MOSN, "")))
            case _:
                raise BenchError(f"no proxy named {name}: expected some of {', '.join(NAMES)}")
    if baseline is not None:
        found.append(plait("plait-baseline", baseline))
    return found


def plait(name: str, mesh: Path, concurrency: int = 1) -> Proxy:
    if not mesh.exists():
        raise BenchError(f"{mesh} is not there: run `make setup`, or leave plait out with --proxies")
    executable = str(mesh.absolute())
    return Proxy(
        name,
        SUFFIXES["plait"],
        True,
        lambda config, _: [executable, "run", "-c", str(config), "--concurrency", str(concurrency)],
        _first_line([executable, "version"]),
    )


def _envoy(binary: Path) -> Proxy:
    fixed = ["--concurrency", "1", "--use-dynamic-base-id", "--base-id-path", _BASE_ID, "--log-level", "warning"]
    return Proxy(
        "envoy",
        SUFFIXES["envoy"],
        True,
        lambda config, _: [str(binary), "-c", str(config), *fixed],
        _envoy_version(_first_line([str(binary), "--version"])),
        _clean_envoy,
    )


def _clean_envoy(directory: Path) -> None:
    """Removes the shared memory that Envoy keeps for a hot restart and leaves behind when it ends."""
    written = directory / _BASE_ID
    if written.exists():
        # Named by the base id and the restart epoch, which is 0 here.
        Path(f"/dev/shm/envoy_shared_memory_{written.read_text().strip()}0").unlink(missing_ok=True)


def _haproxy(binary: str) -> Proxy:
    version = " ".join(_first_line([binary, "-v"]).split()[:3])
    return Proxy("haproxy", SUFFIXES["haproxy"], False, lambda config, _: [binary, "-db", "-f", str(config)], version)


def _nginx(binary: str) -> Proxy:
    version = _first_line([binary, "-v"]).removeprefix("nginx version: ")
    return Proxy("nginx", SUFFIXES["nginx"], False, lambda config, cwd: nginx_command(binary, config, cwd), version)


def _nghttpx(binary: str) -> Proxy:
    version = " ".join(_first_line([binary, "--version"]).split()[:2])
    return Proxy("nghttpx", SUFFIXES["nghttpx"], False, lambda config, _: [binary, f"--conf={config}"], version)


def _mosn(binary: str) -> Proxy:
    if not binary or not Path(binary).exists():
        raise BenchError(f"no MOSN at {binary!r}: {MOSN}=PATH names its binary, or leave it out with --proxies")
    executable = str(Path(binary).absolute())
    # One thread that runs Go code, as the others have one worker; its garbage collector shares the core all the same.
    command = ["env", "GOMAXPROCS=1", executable, "start", "-c"]
    version = _first_line([executable, "--version"])
    return Proxy("mosn", SUFFIXES["mosn"], False, lambda config, _: [*command, str(config)], version)


def nginx_command(binary: str, config: Path, directory: Path) -> list[str]:
    """Master and worker in the foreground, everything they write under `directory`."""
    # Started by root, the worker would change to a user who cannot enter the private directory.
    user = " user root;" if os.geteuid() == 0 else ""
    return [binary, "-p", str(directory), "-c", str(config), "-e", "stderr", "-g", f"daemon off;{user}"]


def _envoy_version(line: str) -> str:
    parts = line.split("/")
    return f"Envoy {parts[-4]}" if len(parts) >= 5 else line


def _first_line(arguments: list[str]) -> str:
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
