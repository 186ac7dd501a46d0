"""Frames of real peers, recorded by ``tests/interop/record.py``, through the codecs of both sides."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from plait.api import Request, Response
from plait.testing import check_codec
from plait_protocol_bolt import BoltClient, BoltServer
from plait_protocol_dubbo import DubboCall, DubboClient, DubboResult, DubboServer
from plait_protocol_hessian import HessianObject
from tests.interop.relay import Split, bolt_frames, dubbo_frames

FOLDER = Path(__file__).parent / "recorded"


def entries(protocol: str, kind: str = "method") -> list[Any]:
    """What is in a file, each with a name that says who called whom with what."""
    calls = json.loads((FOLDER / f"{protocol}.json").read_text())["calls"]
    names = [f"{each['client']} to {each['server']}: {each.get('method', '')} {len(each['request'])}" for each in calls]
    return [pytest.param(each, id=name) for each, name in zip(calls, names, strict=True) if kind in each]


def frame(entry: dict[str, Any], side: str) -> bytes:
    return bytes.fromhex(entry[side])


def plain(value: object) -> object:
    """A decoded value as the file has it."""
    if isinstance(value, HessianObject):
        return {"$person": {name: plain(field) for name, field in value.fields.items()}}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


@pytest.mark.parametrize("entry", entries("bolt"))
def test_sofarpc_request_is_read(entry: dict[str, Any]) -> None:
    data = frame(entry, "request")
    (request,) = BoltServer().feed(data)
    assert isinstance(request, Request)
    assert request.path == entry["method"]
    assert request.authority == f"plait.interop.Echo{'Pb' if entry['serialization'] == 'protobuf' else ''}:1.0"
    assert request.oneway == (entry["method"] == "note")
    assert BoltClient().encode_request(request, request.id) == data
    check_codec(BoltServer, data)


@pytest.mark.parametrize("entry", [each for each in entries("bolt") if each.values[0]["response"]])
def test_sofarpc_response_is_read(entry: dict[str, Any]) -> None:
    data = frame(entry, "response")
    server = BoltServer()
    (request,) = server.feed(frame(entry, "request"))
    (response,) = BoltClient().feed(data)
    assert isinstance(request, Request)
    assert isinstance(response, Response)
    assert response.id == request.id
    assert server.encode_response(request, response) == data


@pytest.mark.parametrize("entry", entries("dubbo"))
def test_dubbo_request_is_read(entry: dict[str, Any]) -> None:
    data = frame(entry, "request")
    (request,) = DubboServer().feed(data)
    assert isinstance(request, Request)
    assert (request.authority, request.path) == ("plait.interop.Echo", entry["method"])
    assert request.headers.get("version") == "1.0"
    call = request.native
    assert isinstance(call, DubboCall)
    assert call.service_version == "1.0"
    if entry["serialization"] == "hessian2":
        assert plain(call.arguments()) == entry["args"]
    assert DubboClient().encode_request(request, request.id) == data
    check_codec(DubboServer, data)


@pytest.mark.parametrize("entry", [each for each in entries("dubbo") if each.values[0]["response"]])
def test_dubbo_response_is_read(entry: dict[str, Any]) -> None:
    data = frame(entry, "response")
    server, client = DubboServer(), DubboClient()
    (request,) = server.feed(frame(entry, "request"))
    assert isinstance(request, Request)
    client.encode_request(request, request.id)
    (response,) = client.feed(data)
    assert isinstance(response, Response)
    assert response.id == request.id
    result = response.native
    assert isinstance(result, DubboResult)
    assert result.is_exception == (entry["method"] == "fail")
    if entry["serialization"] == "hessian2" and entry["method"] not in ("fail", "note"):
        assert plain(result.value()) == entry["result"]["value"]
    assert server.encode_response(request, response) == data


@pytest.mark.parametrize(
    ("protocol", "make", "split"), [("bolt", BoltServer, bolt_frames), ("dubbo", DubboServer, dubbo_frames)]
)
def test_heartbeats_are_answered(protocol: str, make: type[BoltServer | DubboServer], split: Split) -> None:
    for parameter in entries(protocol, "heartbeat"):
        (theirs,) = split(frame(parameter.values[0], "response"))
        codec = make()
        codec.feed(frame(parameter.values[0], "request"))
        (ours,) = split(b"".join(codec.output))
        # Not always the same bytes: Java answers without a checksum, Go with two nulls.
        assert (ours.heartbeat, ours.request, ours.id) == (True, False, theirs.id), parameter.id
