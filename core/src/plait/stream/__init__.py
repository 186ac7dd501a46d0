"""The stream multiplexer: both sides of any protocol, filter chains, pools, and what filters share."""

from plait.stream.matching import (
    compile_header,
    compile_headers,
    compile_regex,
    compile_request_headers,
    compile_string,
)

__all__ = [
    "compile_header",
    "compile_headers",
    "compile_regex",
    "compile_request_headers",
    "compile_string",
]
