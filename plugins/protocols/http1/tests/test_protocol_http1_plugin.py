"""The plugin as a whole, by the rules for all plugins and for all codecs."""

from plait import Headers, Request
from plait.testing import check_codec, check_plugin
from plait_protocol_http1 import Http1Client, Http1Options, Http1Server

TRAILERS = Http1Options(enable_trailers=True)


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("protocols:http1")
    assert [found.name for found in registered] == ["http1"]


def test_server_reads_the_same_however_its_bytes_are_cut() -> None:
    data = (
        b"POST /a?b=c HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nX-Name: Value\r\n\r\n"
        b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    check_codec(
        lambda: Http1Server(TRAILERS),
        data,
        [
            (
                *("request", 1, b"POST", b"/a?b=c", b"shop.example"),
                ((b"host", b"shop.example"), (b"transfer-encoding", b"chunked"), (b"x-name", b"Value")),
                *(False, 0.0, b""),
            ),
            ("body", 1, b"hello"),
            ("trailers", 1, ((b"x-sum", b"1"),)),
            ("end", 1),
        ],
    )


def asking() -> Http1Client:
    codec = Http1Client(TRAILERS)
    request = Request(Headers([(b"host", b"shop.example")]))
    request.raw_method, request.raw_path, request.raw_authority = b"GET", b"/", b"shop.example"
    codec.encode_request(request, codec.next_id())
    return codec


def test_client_reads_the_same_however_its_bytes_are_cut() -> None:
    check_codec(
        asking,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
        [
            ("interim", 1, 103, ((b"link", b"</a>"),)),
            ("response", 1, 200, 0, b"OK", ((b"content-length", b"5"), (b"content-type", b"text/plain"))),
            ("body", 1, b"hello"),
            ("end", 1),
        ],
    )
