"""The filter kit lets right filters pass and names the rule that a wrong one broke."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

import plait
from plait.testing import FakeContext, FakeStream, run_filter
from plait.testing import stream as kit


class Refuses(plait.StreamFilter):
    def on_request(self, stream: plait.Stream) -> plait.Verdict:
        if stream.request.headers.get("x-tenant") is None:
            return stream.reply(401, "no tenant", headers={"x-why": "tenant"}, flag="UAEX")
        return plait.CONTINUE


class Upper(plait.StreamFilter):
    ended = 0

    def on_request_data(self, stream: plait.Stream, data: bytes, end: bool) -> bytes:
        return data.upper() + (b"!" if end else b"")

    def on_response_data(self, stream: plait.Stream, data: bytes, end: bool) -> bytes:
        return data.lower()

    def on_end(self, stream: plait.Stream) -> None:
        self.ended += 1


class Later(plait.StreamFilter):
    """Waits half a minute of the worker's time."""

    def __init__(self, context: plait.Context, awaits: bool) -> None:
        self.context = context
        self.awaits = awaits

    def on_request(self, stream: plait.Stream) -> plait.Verdict | Awaitable[plait.Verdict]:
        if self.awaits:
            return self.wait()
        self.context.call_later(30.0, stream.resume)
        return plait.STOP

    async def wait(self) -> plait.Verdict:
        over = asyncio.Event()
        self.context.call_later(30.0, over.set)
        await over.wait()
        return plait.CONTINUE


class Wants(plait.StreamFilter):
    async def on_request(self, stream: plait.Stream) -> plait.Verdict:
        stream.attributes["body"] = await stream.request_body(4)
        return plait.CONTINUE


def filter_of(on_request: Callable[[plait.Stream], object]) -> plait.StreamFilter:
    made = plait.StreamFilter()
    made.on_request = on_request  # type: ignore[method-assign, assignment]
    return made


def test_an_answer_is_kept_and_nothing_forwarded() -> None:
    stream = run_filter(Refuses(), FakeStream())
    assert stream.response is not None
    assert (stream.response.status, stream.response.body, stream.flags) == (401, b"no tenant", ("UAEX",))
    assert stream.response.headers.get("x-why") == "tenant"
    assert (stream.replied, stream.forwarded, stream.returned_body) == (True, False, b"no tenant")


def test_a_request_that_may_pass_is_forwarded() -> None:
    stream = run_filter(Refuses(), FakeStream(headers={"X-Tenant": "acme"}))
    assert (stream.replied, stream.forwarded) == (False, True)


def test_bodies_pass_in_pieces_both_ways() -> None:
    upper = Upper()
    stream = FakeStream("POST", body=[b"ab", b"cd"])
    run_filter(upper, stream, plait.Response(200, plait.Headers([])), [b"EF", b"GH"])
    assert (stream.forwarded_body, stream.returned_body, upper.ended) == (b"ABCD!", b"efgh", 1)


@pytest.mark.parametrize("awaits", [False, True])
def test_time_passes_for_a_filter_that_waits(plait_context: FakeContext, awaits: bool) -> None:
    stream = run_filter(Later(plait_context, awaits), FakeStream(), context=plait_context)
    assert stream.forwarded


def test_the_whole_body_can_be_waited_for() -> None:
    stream = run_filter(Wants(), FakeStream("POST", body=[b"ab", b"cd"]))
    assert (stream.attributes["body"], stream.forwarded_body) == (b"abcd", b"abcd")


def test_a_body_over_the_limit_ends_the_stream() -> None:
    stream = run_filter(Wants(), FakeStream("POST", body=b"abcde"))
    assert stream.response is not None
    assert (stream.response.status, stream.forwarded) == (413, False)


@pytest.mark.parametrize(
    ("on_request", "rule"),
    [
        (lambda stream: None, "on_request returned None, expected CONTINUE or STOP"),
        (lambda stream: (stream.reply(403), plait.CONTINUE)[1], "answered the stream and returned CONTINUE"),
        (lambda stream: (stream.reply(403), stream.reply(403))[1], "the filter answered a stream that was over"),
        (lambda stream: plait.STOP, "returned STOP and neither answered, reset nor resumed the stream"),
    ],
)
def test_a_broken_rule_is_named(
    on_request: Callable[[plait.Stream], object], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "DEADLINE_S", 0.05)
    with pytest.raises(AssertionError, match=rule):
        run_filter(filter_of(on_request), FakeStream())


def test_data_that_is_not_bytes_is_refused() -> None:
    broken = plait.StreamFilter()
    broken.on_request_data = lambda stream, data, end: None  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(AssertionError, match="on_request_data returned None, expected bytes"):
        run_filter(broken, FakeStream("POST", body=b"x"))


def test_chains_share_time_and_statistics(plait_context: FakeContext) -> None:
    chain = cast("FakeContext", plait_context.for_chain("http.in", "routes"))
    calls: list[str] = []
    chain.call_later(2.0, lambda: calls.append("late"))
    chain.call_later(1.0, lambda: calls.append("early"))
    chain.call_later(1.0, lambda: calls.append("never")).cancel()
    chain.stats.counter("a").value += 1
    plait_context.advance(1.5)
    assert calls == ["early"]
    plait_context.advance(1.5)
    assert calls == ["early", "late"]
    assert plait_context.fake_stats.values() == {"a": 1}
    assert (chain.stat_prefix, plait_context.stat_prefix) == ("http.in", "")
