"""The stream multiplexer: both sides of any protocol, filter chains, pools, and what filters share."""

from plait.stream import grpc
from plait.stream.chain import FilterChain
from plait.stream.formatter import compile_format, compile_json_format
from plait.stream.forward import ForwardOptions, forward
from plait.stream.matching import (
    compile_fullmatch,
    compile_header,
    compile_headers,
    compile_regex,
    compile_request_headers,
    compile_string,
)
from plait.stream.onward import VIA_UPSTREAM
from plait.stream.operator_values import REMOTE_ADDRESS
from plait.stream.proxy import Limits, StreamProxy

__all__ = [
    "REMOTE_ADDRESS",
    "VIA_UPSTREAM",
    "FilterChain",
    "ForwardOptions",
    "Limits",
    "StreamProxy",
    "compile_format",
    "compile_fullmatch",
    "compile_header",
    "compile_headers",
    "compile_json_format",
    "compile_regex",
    "compile_request_headers",
    "compile_string",
    "forward",
    "grpc",
]
