"""What mistakes of filters and access logs cost: their own stream, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plait import CONTINUE, STOP, AccessLog, Stream, StreamFilter, Verdict
from tests.integration.harness import (
    Peer,
    echo,
    errors_in,
    get,
    live,
    post,
    proxied,
    status_of,
    tick,
)


class Broken(StreamFilter):
    """Raises in one phase for paths that say so; ``how`` is what to return where it should not."""

    def __init__(self, phase: str, waits: bool = False, answer: Any = None) -> None:
        self.waits = waits
        self.answer = answer
        setattr(type(self), phase, self._fail)

    def _fail(self, stream: Stream, *data: Any) -> Any:
        if not stream.request.path.startswith("/bad"):
            return data[0] if data else CONTINUE
        return self._later() if self.waits else self._now()

    def _now(self) -> Any:
        if self.answer is not None:
            return self.answer
        raise RuntimeError("oops")

    async def _later(self) -> Any:
        await tick()
        return self._now()


def broken(phase: str, waits: bool = False, answer: Any = None) -> StreamFilter:
    """A filter of a class of its own, so that it overrides just that phase."""
    return type("Broken", (Broken,), {})(phase, waits, answer)  # type: ignore[no-any-return]


@live
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("phase", ["on_request", "on_request_data", "on_response", "on_response_data"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_filter_that_raises_ends_its_own_stream_with_500(
    phase: str, waits: bool, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(echo, [broken(phase, waits)]) as (mesh, _):
        other, client = await mesh.connect(), await mesh.connect()
        await other.send(post(b"abc", b"/good")[:-1])
        if streamed:
            await client.send(get(b"/bad", b"content-length: 3", method=b"POST"))
            await asyncio.sleep(0.02)
            await client.send(b"abc")
        else:
            await client.send(post(b"abc", b"/bad"))
        head, body = await client.message()
        assert (status_of(head), body) == (500, b"Internal Server Error")
        await other.send(b"c")
        assert status_of((await other.message())[0]) == 200
        assert status_of((await mesh.ask(post(b"abc", b"/good")))[0]) == 200
        messages = [message for message in errors_in(caplog) if "failed" in message]
        assert len(messages) == 1
        assert "Broken" in messages[0]
        assert mesh.counter("http.test.filter_error") == 1
        assert [entry.details for entry in mesh.log.entries if entry.status == 500] == ["filter_error"]


@live
@pytest.mark.parametrize("waits", [False, True])
async def test_filter_that_raises_inside_a_response_cuts_it_off(waits: bool) -> None:
    async def handler(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        await asyncio.sleep(0.02)
        await peer.send(b"abc")
        await peer.rest()

    async with proxied(handler, [broken("on_response_data", waits)]) as (mesh, _):
        client = await mesh.connect()
        await client.send(get(b"/bad"))
        assert status_of(await client.head()) == 200
        assert await client.rest() == b""
        assert mesh.log.flags == ["LR"]


@live
async def test_filter_that_raises_at_the_end_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with proxied(echo, [broken("on_end")]) as (mesh, _):
        client = await mesh.connect()
        for path in (b"/bad", b"/good"):
            await client.send(get(path))
            assert status_of((await client.message())[0]) == 200
        assert len(errors_in(caplog)) == 1


@live
async def test_access_log_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Raises(AccessLog):
        def record(self, stream: Stream) -> None:
            raise RuntimeError("disk full")

    async with proxied(echo, log=Raises()) as (mesh, _):
        client = await mesh.connect()
        for _ in range(2):
            await client.send(get())
            assert status_of((await client.message())[0]) == 200
        assert len(errors_in(caplog)) == 2


@live
@pytest.mark.parametrize(
    ("phase", "answer"), [("on_request", "yes"), ("on_request", 1), ("on_response", "yes"), ("on_response", STOP)]
)
@pytest.mark.parametrize("waits", [False, True])
async def test_wrong_verdict_is_an_error_of_the_filter(
    phase: str, answer: Any, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(echo, [broken(phase, waits, answer)]) as (mesh, _):
        assert status_of((await mesh.ask(get(b"/bad")))[0]) == 500
        assert status_of((await mesh.ask(get(b"/good")))[0]) == 200
        assert len(errors_in(caplog)) == 1


@live
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("phase", ["on_request_data", "on_response_data"])
async def test_data_that_is_no_bytes_is_an_error_of_the_filter(phase: str, waits: bool) -> None:
    async with proxied(echo, [broken(phase, waits, "text")]) as (mesh, _):
        assert status_of((await mesh.ask(post(b"abc", b"/bad")))[0]) == 500
        assert status_of((await mesh.ask(post(b"abc", b"/good")))[0]) == 200


@live
async def test_field_that_cannot_be_sent_is_500(caplog: pytest.LogCaptureFixture) -> None:
    class Splits(StreamFilter):
        def __init__(self, way: str) -> None:
            self.way = way

        def on_request(self, stream: Stream) -> Verdict:
            if self.way == "request":
                stream.request.headers.set("x-split", "a\r\nb: c")
            return CONTINUE

        def on_response(self, stream: Stream) -> Verdict:
            if self.way == "response" and stream.response is not None:
                stream.response.headers.set("x-split", "a\r\nb: c")
            return CONTINUE

    for way in ("request", "response"):
        async with proxied(echo, [Splits(way)]) as (mesh, _):
            client = await mesh.connect()
            for _ in range(3):
                await client.send(post(b"abc"))
                assert status_of((await client.message())[0]) == 500
            assert mesh.log.flags == ["LR"] * 3
            assert mesh.counter("cluster.up.upstream_cx_active") == 1
