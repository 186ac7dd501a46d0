"""What the access logs are told, frozen."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" '
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)
"""Envoy's."""

STDOUT = "/dev/stdout"
STDERR = "/dev/stderr"


@attrs.frozen
class AccessLogSettings:
    """``text`` as it is written (a line break is part of it), or ``json`` when that is not None: a line each."""

    path: str
    text: str = DEFAULT_FORMAT
    json: Mapping[str, object] | None = attrs.field(default=None, hash=False)
    omit_empty_values: bool = False


@attrs.frozen
class StdoutSettings(AccessLogSettings):
    """Of the log to stdout."""

    path: str = STDOUT


@attrs.frozen
class StderrSettings(AccessLogSettings):
    """Of the log to stderr."""

    path: str = STDERR
