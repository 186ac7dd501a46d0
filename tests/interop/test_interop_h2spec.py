"""h2spec's cases of RFC 9113 and RFC 7541, against Plait and against Envoy with one configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.interop.peers import CONFIGS, ROOT, SEARCH_PATH, proxy, telling_service, with_ports
from tests.running import free_ports

_TIMEOUT_S = 2  # of one case: a proxy that does not react fails it that late
_CASE = re.compile(r'<testcase package="([^"]*)" classname="([^"]*)"[^>]*>(.*?)</testcase>', re.DOTALL)


def failures(port: int, report: Path, *arguments: str) -> tuple[int, set[str]]:
    """How many cases there are, and those that fail."""
    h2spec = shutil.which("h2spec", path=os.pathsep.join((str(ROOT / ".peers" / "bin"), SEARCH_PATH)))
    if h2spec is None:
        pytest.skip("h2spec is not in .peers/bin: run tools/peers")
    command: list[str | Path] = [
        h2spec,
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-o",
        str(_TIMEOUT_S),
        "-j",
        report,
        *arguments,
    ]
    subprocess.run(command, capture_output=True, check=False, timeout=280)  # it exits with 1 when a case fails
    # The report quotes what the peer sent, control characters and all: it is not always XML.
    cases = _CASE.findall(report.read_text(errors="replace"))
    return len(cases), {f"{section} {what}" for section, what, said in cases if "<failure" in said or "<error" in said}


@pytest.mark.timeout(600)
def test_no_case_fails_and_so_none_that_envoy_passes(tmp_path: Path) -> None:
    failed: dict[str, set[str]] = {}
    with telling_service("teller") as teller:
        for name in ("plait", "envoy"):
            listener, admin = free_ports(2)
            ports = {10000: listener, 9901: admin, 18080: teller}
            config = with_ports((CONFIGS / "h2spec.yaml").read_text(), ports)
            with proxy(name, config, tmp_path / name, listener, admin):
                count, failed[name] = failures(listener, tmp_path / f"{name}.xml", "--strict")
            assert count > 140
    print(f"cases that fail with Envoy: {sorted(failed['envoy'])}")
    assert failed["plait"] == set()
