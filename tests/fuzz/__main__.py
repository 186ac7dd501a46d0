"""Fuzzes one target with atheris: ``.venv/bin/python -m tests.fuzz TARGET [libFuzzer's options]``.

atheris is not among the locked libraries: who fuzzes installs it into ``.venv`` first. Targets are in ``targets.py``.
Inputs that reach something new are kept in ``.fuzz/TARGET``, and so is one that fails: its bytes belong into an
ordinary test then.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

WATCHED = [f"plait_protocol_{name}" for name in ("hessian", "bolt", "dubbo", "http1", "http2")]
"""The packages of which atheris sees what an input reaches."""


def main() -> None:
    """Fuzz until the options say stop, or something fails."""
    if len(sys.argv) < 2:
        sys.exit("which target of tests/fuzz/targets.py?")
    name, options = sys.argv[1], sys.argv[2:]
    atheris: Any = importlib.import_module("atheris")  # only who fuzzes has it

    with atheris.instrument_imports(include=WATCHED):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = targets[name]
    kept = Path(".fuzz") / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (kept / f"seed-{number}").write_bytes(seed)
    argv = [sys.argv[0], str(kept), f"-artifact_prefix={kept}-", "-timeout=10", "-rss_limit_mb=1024", *options]
    atheris.Setup(argv, target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
