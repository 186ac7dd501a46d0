"""A folder that looks like a checkout to whoever types what the documentation shows, and changes nothing outside it.

Its ``.venv`` sees all that the real one has and takes what is installed on top; the ports in its files, and in what is
typed, are free ones. ``make`` only says what it would do, ``curl`` waits until somebody listens and a sidecar is ready.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.documents.blocks import ROOT, Command, shows
from tests.running import free_ports

DEADLINE_S = 100.0

_PORT = re.compile(
    r"(?<=port_value: )\d+|(?<=127\.0\.0\.1:)\d+|(?<=http\.server )\d+|(?<=_address=\"127\.0\.0\.1_)\d+"
    r"|(?<=server\.py dubbo v1 )\d+|(?<=caller\.py dubbo )\d+"
)

_CURL = """\
#!{python}
import http.client, sys, time, urllib.parse
arguments, headers, head, method, body = sys.argv[1:], {{}}, False, "GET", None
while arguments[0].startswith("-"):
    flag = arguments.pop(0)
    if flag == "-i":
        head = True
    elif flag == "-H":
        name, _, value = arguments.pop(0).partition(": ")
        headers[name] = value
    elif flag == "-d":
        method, body = "POST", arguments.pop(0)
    else:
        assert flag == "-s", flag
url = urllib.parse.urlsplit(arguments[0])
deadline = time.monotonic() + 20
while True:
    try:
        connection = http.client.HTTPConnection(url.netloc, timeout=20)
        connection.request(method, (url.path or "/") + ("?" + url.query if url.query else ""), body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        if text != "INITIALIZING\\n" or time.monotonic() > deadline:
            break
    except ConnectionError:
        if time.monotonic() > deadline:
            raise
    time.sleep(0.02)
if head:
    print("HTTP/1.1", response.status, response.reason)
    for name, value in response.getheaders():
        print(name + ": " + value)
    print()
sys.stdout.write(text)
"""

_MESH = """\
#!{python}
import sys
from plait.cli import main
sys.exit(main())
"""

_MAKE = """\
#!/bin/sh
exec {make} --no-print-directory -n -C {root} "$@" >/dev/null
"""


class Checkout:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ".venv/bin/python"
        self._ports: dict[str, str] = {}
        uv = Path(sys.executable).parent / "uv"
        self._run([uv, "venv", "--quiet", "--python", sys.executable, folder / ".venv"])
        packages = next((folder / ".venv/lib").glob("python*")) / "site-packages"
        real = [path for path in site.getsitepackages() if Path(path).is_dir()]
        (packages / "checkout.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in real))
        self._script(folder / ".venv/bin/mesh", _MESH)
        self._script(folder / "bin/curl", _CURL)
        self._script(folder / "bin/make", _MAKE)
        for path in (ROOT / "examples").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".yaml", ".toml"):
                self.write(str(path.relative_to(ROOT)), path.read_text())

    def _script(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(python=self.python, root=ROOT, make=shutil.which("make")))
        path.chmod(0o755)

    def ported(self, text: str) -> str:
        """The text with a free port in place of each that it names."""
        for port in _PORT.findall(text):
            if port != "0" and port not in self._ports:
                self._ports[port] = str(free_ports(1)[0])
        return _PORT.sub(lambda found: self._ports.get(found[0], found[0]), text)

    def write(self, name: str, text: str) -> Path:
        """A file of the checkout."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.ported(text))
        return path

    def install(self, *projects: Path) -> None:
        """Install distributions into the checkout's environment."""
        uv = Path(sys.executable).parent / "uv"
        flags = ["--quiet", "--no-deps", "--no-build-isolation", "--python", str(self.python)]
        build = {"PATH": f"{self.python.parent}:{os.environ['PATH']}"}
        self._run([uv, "pip", "install", *flags, *projects], env=build)

    def run(self, *command: str | Path, folder: Path | None = None) -> str:
        """What a command prints; AssertionError when it fails."""
        return self._run(command, folder or self.folder)

    def _run(self, command: Sequence[str | Path], folder: Path | None = None, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=folder or self.folder.parent,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def session(self, typed: Sequence[Command]) -> list[str]:
        """Type commands into one shell; what is wrong with what they answer.

        A command that fails is wrong, unless ``echo $?`` follows. Those in the background end with the session.
        """
        mark = "@@@@ "
        lines = ["trap 'kill $(jobs -p); wait' EXIT"]
        for number, command in enumerate(typed):
            text = self.ported(command.text)
            if command.background:
                text = f"{text[:-1]}>log-{number} 2>&1 &"
            lines += [f"printf '\\n{mark}\\n'; (exit ${{rc-0}})", text, f"rc=$?; printf '\\n{mark}%d\\n' $rc"]
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "PIP_NO_INDEX": "1",
        }
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = shell.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)  # the shell and all that it started
            output, _ = shell.communicate()
            raise AssertionError(f"the session did not end:\n{output}{self._logs()}") from None
        found = re.findall(rf"\n{mark}\n(.*?)\n{mark}(\d+)\n", output, re.DOTALL)
        assert len(found) == len(typed), output
        return list(self._wrong(typed, found))

    def _wrong(self, typed: Sequence[Command], found: Sequence[tuple[str, str]]) -> Iterable[str]:
        for number, (command, (output, code)) in enumerate(zip(typed, found, strict=True)):
            following = typed[number + 1].text if number + 1 < len(typed) else ""
            if code != "0" and following != "echo $?":
                yield f"`{command.text}` ended with {code}:\n{output}{self._logs()}"
            missing = shows(output, tuple(self.ported(line) for line in command.shown))
            if missing:
                yield f"`{command.text}` does not print {missing!r}, but:\n{output}{self._logs()}"

    def _logs(self) -> str:
        return "".join(f"\n{log.name}:\n{log.read_text()}" for log in sorted(self.folder.glob("log-*")))
