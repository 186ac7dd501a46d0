"""Lines, and how they reach files."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plait import ConfigError, Connection, Headers, Response
from plait.testing import FakeContext, FakeStream
from plait_telemetry_accesslog import AccessLogSettings, plait_telemetry, writing
from plait_telemetry_accesslog.log import FormattedLog, make_log
from plait_telemetry_accesslog.settings import StderrSettings, StdoutSettings

LINE = "%REQ(:METHOD)% %RESPONSE_CODE%\n"


def stream() -> FakeStream:
    one = FakeStream("GET", "/shop", authority="shop.example", headers={"user-agent": "curl"}, protocol="HTTP/1.1")
    one.response = Response(200, Headers([]))
    return one


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


def flushed(log: FormattedLog, path: Path, text: str) -> bool:
    """Flush as the core does; whether the file says so by now."""
    log.flush()
    return path.exists() and path.read_text() == text


def test_default_format_is_envoys(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = make_log(AccessLogSettings(str(path)), FakeContext())
    log.record(stream())
    log.close()
    text = path.read_text()
    assert '] "GET /shop HTTP/1.1" 200 - 0 0 ' in text
    assert text.endswith('"-" "curl" "-" "shop.example" "-"\n')


def test_lines_are_buffered_until_the_flush(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "log"
        context = FakeContext()
        log = make_log(AccessLogSettings(str(path), LINE), context)
        log.record(stream())
        log.record(stream())
        assert context.fake_stats.values() == {"filesystem.write_buffered": 2}
        await until(lambda: flushed(log, path, "GET 200\nGET 200\n"))
        log.record(stream())
        log.close()
        await until(lambda: flushed(log, path, "GET 200\n" * 3))
        values = context.fake_stats.values()
        assert values["filesystem.write_buffered"] == 3

    asyncio.run(run())


def test_json_is_typed_and_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "log"
    shape = {"code": "%RESPONSE_CODE%", "host": "%UPSTREAM_HOST%", "text": "%REQ(:METHOD)% %PROTOCOL%", "n": {"x": 1}}
    for omit in (False, True):
        log = make_log(AccessLogSettings(str(path), json=shape, omit_empty_values=omit), FakeContext())
        log.record(stream())
        log.close()
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == {"code": 200, "host": None, "text": "GET HTTP/1.1", "n": {"x": 1}}
    assert second == {"code": 200, "text": "GET HTTP/1.1", "n": {"x": 1}}


def test_empty_values_may_be_left_out_of_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = make_log(AccessLogSettings(str(path), "<%REQ(X-NONE)%>", omit_empty_values=True), FakeContext())
    log.record(stream())
    log.close()
    assert path.read_text() == "<>"


def test_connections_are_logged_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = make_log(AccessLogSettings(str(path), "%BYTES_SENT% %REQ(:METHOD)%\n"), FakeContext())
    transport: Any = None
    connection = Connection(transport)
    connection.bytes_sent = 7
    log.record_connection(connection)
    log.close()
    assert path.read_text() == "7 -\n"


def test_bytes_that_are_no_text_are_written_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = make_log(AccessLogSettings(str(path), "%REQ(X)%\n"), FakeContext())
    one = stream()
    one.request.headers.append(b"x", b"\xff\xc3\xa9")
    log.record(one)
    log.close()
    assert path.read_bytes() == b"\xff\xc3\xa9\n"


def test_two_logs_can_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs = [make_log(AccessLogSettings(str(path), f"{name}\n"), FakeContext()) for name in "ab"]
    for log in logs:
        log.record(stream())
        log.close()
    assert path.read_text() == "a\nb\n"


def test_much_is_written_before_the_flush(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "log"
        log = make_log(AccessLogSettings(str(path), "x" * 1000), FakeContext())
        for _ in range(100):
            log.record(stream())
        await until(lambda: path.exists() and path.stat().st_size > 0)
        log.close()
        await log.closed()

    asyncio.run(run())
    assert (tmp_path / "log").stat().st_size == 100_000


def test_what_comes_while_a_write_is_under_way_is_written_before_the_log_is_closed(tmp_path: Path) -> None:
    async def run() -> None:
        log = make_log(AccessLogSettings(str(tmp_path / "log"), "x" * 1000), FakeContext())
        for _ in range(300):
            log.record(stream())
        log.close()
        await log.closed()

    asyncio.run(run())
    assert (tmp_path / "log").stat().st_size == 300_000


@pytest.mark.parametrize(
    ("name", "reason"), [("", "it is a folder"), ("no/log", "there is no folder"), ("log/log", "there is no folder")]
)
def test_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(ConfigError, match=reason):
        make_log(AccessLogSettings(str(tmp_path / name)), FakeContext())


def test_failed_write_is_counted_and_not_raised(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    context = FakeContext()
    log = make_log(AccessLogSettings(str(folder / "log"), LINE), context)
    folder.rmdir()
    log.record(stream())
    log.flush()
    assert context.fake_stats.values()["filesystem.write_failed"] == 1
    folder.mkdir()
    log.record(stream())
    log.close()
    log.close()
    assert (folder / "log").read_text() == "GET 200\n"
    log.record(stream())
    assert context.fake_stats.values()["filesystem.write_failed"] == 2


def test_pipe_that_nobody_reads_loses_lines_and_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PATIENCE_S", 0.01)
    monkeypatch.setattr(writing, "WAITING_LIMIT_BYTES", 200_000)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    context = FakeContext()

    async def run() -> None:
        log = make_log(AccessLogSettings(str(path), "x" * 10_000), context)
        for _ in range(100):
            log.record(stream())
        await until(lambda: context.fake_stats.values().get("filesystem.write_failed", 0) > 50)
        log.close()

    asyncio.run(run())
    os.close(reader)


@pytest.mark.parametrize(("settings", "out"), [(StdoutSettings(text=LINE), True), (StderrSettings(text=LINE), False)])
def test_standard_streams_are_written(
    settings: AccessLogSettings, out: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # closing a log leaves the stream open
        log = make_log(settings, FakeContext())
        log.record(stream())
        log.close()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == (("GET 200\n" * 2, "") if out else ("", "GET 200\n" * 2))


def test_hook_registers_the_three_logs() -> None:
    assert [found.name for found in plait_telemetry()] == [
        "envoy.access_loggers.file",
        "envoy.access_loggers.stdout",
        "envoy.access_loggers.stderr",
    ]
