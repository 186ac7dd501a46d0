"""What a caller may change of a route's timeouts and retries with ``x-envoy-…`` headers.

Known are ``x-envoy-upstream-rq-timeout-ms``, ``-upstream-rq-per-try-timeout-ms``, ``-max-retries``, ``-retry-on``,
``-retry-grpc-on``, ``-retriable-status-codes``; the HTTP edge takes them away from callers that are not internal. They
are not passed on.
"""

from __future__ import annotations

import attrs

from plait.api import ForwardAction, Headers, RetryPolicy
from plait_filter_router.text import decode

TIMEOUT = b"x-envoy-upstream-rq-timeout-ms"
PER_TRY_TIMEOUT = b"x-envoy-upstream-rq-per-try-timeout-ms"
MAX_RETRIES = b"x-envoy-max-retries"
RETRY_ON = b"x-envoy-retry-on"
RETRY_GRPC_ON = b"x-envoy-retry-grpc-on"
STATUS_CODES = b"x-envoy-retriable-status-codes"

HEADERS = frozenset((TIMEOUT, PER_TRY_TIMEOUT, MAX_RETRIES, RETRY_ON, RETRY_GRPC_ON, STATUS_CODES))


def overridden(
    action: ForwardAction, retry: RetryPolicy | None, headers: Headers
) -> tuple[ForwardAction, RetryPolicy | None]:
    """``action`` and ``retry`` as the caller wants them; the headers that said so are gone. Nonsense is ignored."""
    timeout = _number(headers, TIMEOUT)
    per_try = _number(headers, PER_TRY_TIMEOUT)
    most = _number(headers, MAX_RETRIES)
    words = (*_words(headers, RETRY_ON), *_words(headers, RETRY_GRPC_ON))
    codes = tuple(int(word) for word in _words(headers, STATUS_CODES) if word.isdigit() and len(word) == 3)
    for name in HEADERS:
        headers.delete(name)
    if timeout is not None:
        action = attrs.evolve(action, timeout_s=timeout / 1000)
    if words or codes or retry is not None:
        base = retry if retry is not None else RetryPolicy()
        retry = attrs.evolve(
            base,
            retry_on=(*base.retry_on, *(word for word in words if word not in base.retry_on)),
            num_retries=base.num_retries if most is None else most,
            per_try_timeout_s=base.per_try_timeout_s if per_try is None else per_try / 1000,
            retriable_status_codes=(*base.retriable_status_codes, *codes),
        )
    return action, retry


def _number(headers: Headers, name: bytes) -> int | None:
    value = headers.find(name)
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None


def _words(headers: Headers, name: bytes) -> tuple[str, ...]:
    value = headers.find(name)
    return () if value is None else tuple(word.strip() for word in decode(value).split(",") if word.strip())
