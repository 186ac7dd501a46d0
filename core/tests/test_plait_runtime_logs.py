"""Log lines and names of levels."""

import logging
import re
import sys

import pytest

from plait.runtime import logs


@pytest.fixture(autouse=True)
def _root() -> object:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    return None


def test_line_has_time_level_logger_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("info", "worker 3")
    logging.getLogger("plait.runtime").warning("low on %s", "memory")
    logging.getLogger("plait.runtime").debug("not shown")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning plait\.runtime \[worker 3\] low on memory\n",
        capsys.readouterr().err,
    )


def test_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("error")
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("a").error("failed", exc_info=sys.exc_info())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(" error a failed")
    assert lines[-1] == "KeyError: 'x'"


def test_off_is_silent_and_trace_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("off")
    logging.getLogger("a").critical("one")
    logs.configure_logging("trace")
    logging.getLogger("a").log(logs.TRACE, "two")
    assert capsys.readouterr().err.endswith(" trace a two\n")
