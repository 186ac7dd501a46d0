"""The two messages of gRPC's health service, against what protobuf itself makes of them."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from plait.upstream.health.grpc import check_request, serving_status
from plait.upstream.health.probe import CheckFailed


def framed(message: bytes) -> bytes:
    """Put gRPC's prefix before a message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def test_an_empty_name_asks_about_the_server() -> None:
    assert check_request("") == b"\0\0\0\0\0"


def test_the_service_is_field_1() -> None:
    # Protocol Buffers, "Encoding": tag (1 << 3) | 2, a length, the text
    assert check_request("a.B") == b"\0\0\0\0\x05\x0a\x03a.B"
    assert check_request("s" * 200)[:8] == b"\0\0\0\0\xcb\x0a\xc8\x01"


@given(st.text(min_size=1))
def test_protobuf_reads_the_request(service: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        service.encode()
        found = _REQUEST()
        found.ParseFromString(check_request(service)[5:])
        assert found.service == service


def _request_class() -> type:
    file = descriptor_pb2.FileDescriptorProto(name="health_test.proto", package="health_test", syntax="proto3")
    message = file.message_type.add(name="Request")
    message.field.add(name="service", number=1, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("health_test.Request"))


_REQUEST = _request_class()


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"", 0),
        (b"\x08\x01", 1),
        (b"\x08\x02", 2),
        (b"\x08\x80\x01", 128),
        (b"\x08\x01\x08\x03", 3),
        (b"\x10\x05\x08\x01\x1a\x02xy\x25abcd\x29abcdefgh", 1),  # fields of later versions, of every wire type
    ],
    ids=["nothing", "serving", "not serving", "unknown number", "twice", "more fields"],
)
def test_the_status_is_field_1(message: bytes, status: int) -> None:
    assert serving_status(framed(message)) == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\x01\0\0\0\x02\x08\x01",
        b"\0\0\0\0\x03\x08\x01",
        b"\0\0\0\0\x01\x08\x01",
        framed(b"\x08\x01") + framed(b"\x08\x01"),
        framed(b"\x08"),
        framed(b"\x08" + b"\xff" * 12),
        framed(b"\x08\x01\x1a\x05xy"),
        framed(b"\x08\x01\x25ab"),
        framed(b"\x0b"),
        framed(b"\x0f"),
    ],
    ids=[
        *("nothing", "no length", "compressed", "cut", "too long", "two", "tag alone", "endless number"),
        *("text cut", "number cut", "group", "no wire type"),
    ],
)
def test_what_is_no_answer_is_a_failure_that_the_host_said(body: bytes) -> None:
    with pytest.raises(CheckFailed) as caught:
        serving_status(body)
    assert caught.value.at_once
    assert not caught.value.network


@given(st.binary(max_size=40))
def test_any_bytes_give_a_status_or_a_failure(message: bytes) -> None:
    for body in (message, framed(message)):
        with contextlib.suppress(CheckFailed):
            assert serving_status(body) >= 0
