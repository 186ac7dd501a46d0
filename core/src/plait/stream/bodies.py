"""Bodies and trailers on their way through a chain's data filters, in either direction.

``plait.stream.exchange`` comes here only where a chain has such filters. What a filter returns goes to the next one;
where one waits, its direction is held and the rest of the way is gone in a task (``_after_…``), behind which
``plait.stream.waiting`` keeps what arrives meanwhile.

What came in one piece with the head is filtered before the head goes on, so that filters may still change it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from plait.api.message import Response
from plait.stream.waiting import Ended, Waiting, ask_data, checked_data, discard

if TYPE_CHECKING:
    from plait.stream.chain import DataPhase
    from plait.stream.exchange import ServerStream

# what goes on once a filter that waits has answered: its answer, the filters behind it, whether the piece is the last
After = Callable[[Waiting, Awaitable[bytes], "tuple[DataPhase, ...]", bool], Coroutine[Any, Any, None]]


def _response_ended(stream: ServerStream) -> bool:
    return stream.finished


def _request_ended(stream: ServerStream) -> bool:
    return stream.request_unwanted()


def tell_request(stream: ServerStream, calls: tuple[Any, ...]) -> bool:
    """Show filters the request's trailers; False when one answered it or ended the stream."""
    for call in calls:
        try:
            call(stream)
        except Exception as error:
            stream.filter_failed(call, error)
            return False
        if stream.request_unwanted():
            return False
    return True


def tell_response(stream: ServerStream) -> bytes | None:
    """Show filters the response's trailers: what they put ahead of them, None when one ended the stream."""
    last = b""
    for call in stream.chain.on_response_trailers:
        try:
            given = call(stream)
            if given is not None:
                last += checked_data(given)
        except Exception as error:
            stream.filter_failed(call, error)
            return None
        if stream.finished:
            return None
    return last


async def _pass_rest(
    waiting: Waiting, answer: Awaitable[bytes], behind: tuple[DataPhase, ...], end: bool, ended: Ended
) -> bytes | None:
    """What the filter that waits, and those behind it, make of a piece; None where one ended the stream."""
    stream = waiting.stream
    given = await answer
    if ended(stream):
        return None
    data = checked_data(given)
    for call in behind:
        passed = await ask_data(call, stream, data, end, ended)
        if passed is None:
            return None
        data = passed
    return data


# the request's way


def filter_request_body(stream: ServerStream) -> bool:
    """Run the body's filters over what came with the head; False when one waits or ended the stream."""
    request = stream.request
    if stream.chain.on_request_data:
        if not request.end:
            request.headers.delete(b"content-length")  # filters may change what it counts
        if request.body:
            body = filter_request_data(stream, request.body, request.end, _after_request_body)
            if body is None:
                return False
            return _put_request_body(stream, body)
    return _tell_request_trailers(stream)


def _put_request_body(stream: ServerStream, body: bytes) -> bool:
    stream.request.body = body
    stream.request.headers.changed = True
    return _tell_request_trailers(stream)


def _tell_request_trailers(stream: ServerStream) -> bool:
    request = stream.request
    return not request.end or request.trailers is None or tell_request(stream, stream.chain.on_request_trailers)


async def _after_request_body(
    waiting: Waiting, answer: Awaitable[bytes], behind: tuple[DataPhase, ...], end: bool
) -> None:
    body = await _pass_rest(waiting, answer, behind, end, _request_ended)
    stream = waiting.stream
    if body is not None and _put_request_body(stream, body):
        stream.run(len(stream.chain.on_request), body_passed=True)


async def _after_request_data(
    waiting: Waiting, answer: Awaitable[bytes], behind: tuple[DataPhase, ...], end: bool
) -> None:
    data = await _pass_rest(waiting, answer, behind, end, _request_ended)
    if data is None:
        return
    stream = waiting.stream
    stream.request_held = False
    if stream.forwarded and (data or end):
        stream.send_up(data, end)
    waiting.play_request()


def filter_request_data(
    stream: ServerStream, data: bytes, end: bool, after: After = _after_request_data
) -> bytes | None:
    """What filters make of a piece; None where one waits, failed or answered the request itself."""
    calls = stream.chain.on_request_data
    for index, call in enumerate(calls):
        try:
            answer = call(stream, data, end)
        except Exception as error:
            stream.filter_failed(call, error)
            return None
        if stream.request_unwanted():
            discard(answer)
            return None
        if not isinstance(answer, bytes):
            stream.request_held = True
            waiting = stream.wait()
            waiting.spawn(after(waiting, answer, calls[index + 1 :], end), call, answer)
            return None
        data = answer
    return data


# the response's way


def filter_response_body(stream: ServerStream, response: Response) -> bool:
    """Run the body's filters over what came with the head; False when one waits or ended the stream."""
    if stream.chain.on_response_data:
        if not response.end:
            response.headers.delete(b"content-length")  # filters may change what it counts
        if response.body:
            body = filter_response_data(stream, response.body, response.end, _after_response_body)
            if body is None:
                return False
            return _put_response_body(stream, response, body)
    return _tell_response_trailers(stream, response)


def _put_response_body(stream: ServerStream, response: Response, body: bytes) -> bool:
    if body is not response.body:
        response.body = body
        response.headers.changed = True
    return _tell_response_trailers(stream, response)


def _tell_response_trailers(stream: ServerStream, response: Response) -> bool:
    if not response.end or response.trailers is None:
        return True
    last = tell_response(stream)
    if last:
        response.body += last
        response.headers.changed = True
    return last is not None


async def _after_response_body(
    waiting: Waiting, answer: Awaitable[bytes], behind: tuple[DataPhase, ...], end: bool
) -> None:
    stream = waiting.stream
    response = cast("Response", stream.response)
    body = await _pass_rest(waiting, answer, behind, end, _response_ended)
    if body is not None:
        if _put_response_body(stream, response, body):
            stream.write_head(response)
        waiting.play_response()


async def _after_response_data(
    waiting: Waiting, answer: Awaitable[bytes], behind: tuple[DataPhase, ...], end: bool
) -> None:
    data = await _pass_rest(waiting, answer, behind, end, _response_ended)
    stream = waiting.stream
    if data is not None:
        stream.encode_data(data, end)
        waiting.play_response()


def filter_response_data(
    stream: ServerStream, data: bytes, end: bool, after: After = _after_response_data
) -> bytes | None:
    """What filters make of a piece; None where one waits, failed or ended the stream."""
    calls = stream.chain.on_response_data
    for index, call in enumerate(calls):
        try:
            answer = call(stream, data, end)
        except Exception as error:
            stream.filter_failed(call, error)
            return None
        if stream.finished:
            discard(answer)
            return None
        if not isinstance(answer, bytes):
            stream.response_held = True
            if stream.forwarded:
                stream.pause_upstream()
            waiting = stream.wait()
            waiting.spawn(after(waiting, answer, calls[index + 1 :], end), call, answer)
            return None
        data = answer
    return data
