"""The filter: a request of gRPC-Web goes on as gRPC, and what comes back of that is said in gRPC-Web again.

Trailers become the last piece of the body. A response that is trailers-only stays one, and one that is not gRPC at all
(an error of a proxy in between) gets a ``grpc-status`` in its head.
"""

from __future__ import annotations

import attrs

from plait import CONTINUE, Context, Response, Stream, StreamFilter, Verdict
from plait.stream import grpc
from plait_filter_grpc_web.forms import TEXT, WEB, TextDecoder, encode_text, subtype_of, trailers_frame

NAME = "envoy.filters.http.grpc_web"

_CALL = "plait.grpc_web.call"
_ENCODINGS = b"identity,deflate,gzip"


@attrs.frozen
class GrpcWebSettings:
    """envoy.extensions.filters.http.grpc_web.v3.GrpcWeb."""


class _Call:
    """One call under way."""

    __slots__ = ("answered", "decoder", "suffix", "text")

    def __init__(self, decoder: TextDecoder | None, text: bool, suffix: bytes) -> None:
        self.decoder = decoder  # of a request in the text form
        self.text = text  # the response is to be in the text form
        self.suffix = suffix  # of the content type
        self.answered = False  # by a response that is gRPC


class GrpcWebFilter(StreamFilter):
    """One per chain and worker."""

    def __init__(self, settings: GrpcWebSettings, context: Context) -> None:
        self._requests = context.stats.counter(f"{context.stat_prefix}.grpc_web.rq_total")
        self._bad = context.stats.counter(f"{context.stat_prefix}.grpc_web.rq_bad_base64")

    # the way in

    def on_request(self, stream: Stream) -> Verdict:
        """Make gRPC of the head."""
        headers = stream.request.headers
        found = subtype_of(headers.find(b"content-type"))
        if found is None:
            return CONTINUE
        self._requests.value += 1
        is_text, suffix = found
        suffix = suffix.partition(b";")[0]
        accepted = subtype_of(headers.find(b"accept"))
        wants_text = is_text if accepted is None else accepted[0]
        stream.attributes[_CALL] = _Call(TextDecoder() if is_text else None, wants_text, suffix)
        headers.put(b"content-type", grpc.CONTENT_TYPE + suffix)
        headers.put(b"te", b"trailers")
        headers.put(b"grpc-accept-encoding", _ENCODINGS)
        if is_text:
            headers.delete(b"content-length")
        return CONTINUE

    def on_request_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        """Take the text form off."""
        call = _of(stream)
        if call is None or call.decoder is None:
            return data
        try:
            decoded = call.decoder.feed(data)
        except ValueError:
            decoded = None
        if decoded is None or (end and call.decoder.cut):
            self._bad.value += 1
            stream.reply(400, "Bad gRPC-web request, invalid base64 data.", details="grpc_base_64_decode_failed")
            return b""
        return decoded

    # the way back

    def on_response(self, stream: Stream) -> Verdict:
        """Make gRPC-Web of the head."""
        call, response = _of(stream), stream.response
        if call is None or response is None:
            return CONTINUE
        headers = response.headers
        call.answered = grpc.is_grpc(headers)
        if not call.answered:
            _explain(response)
            return CONTINUE
        headers.put(b"content-type", (TEXT if call.text else WEB) + call.suffix)
        if call.text or not response.end:
            headers.delete(b"content-length")
        return CONTINUE

    def on_response_data(self, stream: Stream, data: bytes, end: bool) -> bytes:
        """Put the text form on."""
        call = _of(stream)
        return encode_text(data) if call is not None and call.answered and call.text and data else data

    def on_response_trailers(self, stream: Stream) -> bytes | None:
        """Put the trailers into the body."""
        call, response = _of(stream), stream.response
        if call is None or not call.answered or response is None or response.trailers is None:
            return None
        frame = trailers_frame(response.trailers)
        response.trailers = None
        return encode_text(frame) if call.text else frame


def _of(stream: Stream) -> _Call | None:
    found = stream.attributes.get(_CALL)
    return found if isinstance(found, _Call) else None


def _explain(response: Response) -> None:
    """Give a response that is not gRPC the status that gRPC has for it."""
    headers = response.headers
    if headers.find(grpc.STATUS) is None:
        code = grpc.UNKNOWN if response.status == 200 else grpc.code_of_http(response.status)
        headers.put(grpc.STATUS, b"%d" % code)
