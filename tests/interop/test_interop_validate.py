"""`mesh validate` beside `envoy --mode validate`: what one takes the other takes, and what one refuses."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from pathlib import Path

import pytest

from plait.cli import main
from tests.interop.broken import BASE, BROKEN
from tests.interop.peers import CONFIGS, ROOT, envoy

TREES = [ROOT / "bench" / "configs", CONFIGS, ROOT / "examples"]
GOOD = sorted(
    path
    for tree in TREES
    for path in tree.rglob("*.yaml")
    if "static_resources" in (text := path.read_text()) and "acme" not in text  # what needs a plugin of its own
)
# Extensions that only Plait has.
OURS = re.compile(r"\bplait\.[a-z]+")

# Where Plait differs on purpose, and why; True: Plait takes it.
ON_PURPOSE: dict[str, tuple[bool, str]] = {
    "no type": (True, "the extension's name says what it is, and its defaults will do"),
    "two hosts of a name": (False, "one of them is likely to be forgotten"),
    "substitution of a group that is not there": (False, "Envoy puts nothing in its place"),
    "router not there": (False, "no request could be answered"),
}


def envoy_takes(config: Path) -> tuple[bool, str]:
    command: list[str | Path] = [
        envoy(),
        "--mode",
        "validate",
        "-c",
        config,
        "--use-dynamic-base-id",
        "--log-level",
        "error",
    ]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def plait_takes(config: Path) -> tuple[bool, str]:
    """In this process: what the command itself does has its own tests."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = main(["validate", "-c", str(config)])
    assert code in (0, 78), told.getvalue()
    if code:
        assert re.match(rf"{re.escape(str(config))}:[0-9]+:[0-9]+: ", told.getvalue()), told.getvalue()
    return code == 0, told.getvalue()


@pytest.mark.parametrize("path", GOOD, ids=[path.relative_to(ROOT).as_posix() for path in GOOD])
def test_configurations_here_are_taken_by_both(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"  # a copy: Envoy opens the access logs that it names
    config.write_text(path.read_text())
    taken, told = plait_takes(path)
    assert taken, told
    if not OURS.search(config.read_text()):
        taken, told = envoy_takes(config)
        assert taken, told


@pytest.mark.parametrize("case", BROKEN)
def test_broken_configurations_are_refused_by_both(case: str, tmp_path: Path) -> None:
    old, new = BROKEN[case]
    assert old in BASE
    config = tmp_path / "config.yaml"
    config.write_text(BASE.replace(old, new, 1))
    (ours, told), (theirs, their_words) = plait_takes(config), envoy_takes(config)
    if case in ON_PURPOSE:
        assert (ours, theirs) == (ON_PURPOSE[case][0], not ON_PURPOSE[case][0]), told + their_words
    else:
        assert not theirs, "Envoy takes it: it does not belong here"
        assert not ours, their_words
