"""The filters: one for streams of any protocol, one for connections that carry none.

A refusal keeps Mixer's words: ``handler.instance:message`` in the body, the google.rpc.Code as the HTTP status that
stands for it (each protocol maps that to its own), the flag UAEX and the details word ``mixer_check_denied``. What the
check found is left in the attributes ``check.error_code``, ``check.error_message`` and ``check.cache_hit``.
"""

from __future__ import annotations

from plait import CONTINUE, STOP, Connection, Context, Headers, NetworkFilter, Stream, StreamFilter, Verdict
from plait_telemetry_mixer.attributes import AttributeBag
from plait_telemetry_mixer.cache import Outcome
from plait_telemetry_mixer.codes import OK, http_status
from plait_telemetry_mixer.engine import Checker
from plait_telemetry_mixer.settings import MixerSettings

DETAILS = "mixer_check_denied"
_OUTCOME = "mixer.outcome"


class MixerFilter(StreamFilter):
    """plait.filters.mixer, where no rule changes responses."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    def on_request(self, stream: Stream) -> Verdict:
        checker = self._checker
        bag = AttributeBag(stream.connection, stream, checker.types, checker.own)
        outcome, hit = checker.check(bag)
        stream.attributes["check.cache_hit"] = hit
        if outcome.status != OK:
            stream.attributes["check.error_code"] = outcome.status
            stream.attributes["check.error_message"] = outcome.refusal
            return stream.reply(http_status(outcome.status), outcome.refusal, details=DETAILS, flag="UAEX")
        for operation in outcome.request_headers:
            _apply(stream.request.headers, *operation)
        if outcome.response_headers:
            stream.attributes[_OUTCOME] = outcome
        return CONTINUE

    def close(self) -> None:
        self._checker.close()


class ResponseMixerFilter(MixerFilter):
    """plait.filters.mixer with rules that change responses."""

    def on_response(self, stream: Stream) -> Verdict:
        outcome = stream.attributes.get(_OUTCOME)
        if isinstance(outcome, Outcome) and stream.response is not None:
            for operation in outcome.response_headers:
                _apply(stream.response.headers, *operation)
        return CONTINUE


class MixerNetworkFilter(NetworkFilter):
    """plait.filters.network.mixer: a connection that is refused is closed before a byte of it is read."""

    def __init__(self, settings: MixerSettings, context: Context) -> None:
        self._checker = Checker(settings, context)

    def on_connection(self, connection: Connection) -> Verdict:
        checker = self._checker
        outcome, _ = checker.check(AttributeBag(connection, None, checker.types, checker.own))
        if outcome.status == OK:
            return CONTINUE
        connection.attributes["check.error_code"] = outcome.status
        connection.attributes["check.error_message"] = outcome.refusal
        connection.flags = (*connection.flags, "UAEX")
        connection.close(DETAILS)
        return STOP

    def close(self) -> None:
        self._checker.close()


def mixer_filter(settings: MixerSettings, context: Context) -> MixerFilter:
    """The filter for the settings; its response phase costs nothing where no rule needs it."""
    checker = Checker(settings, context)
    return ResponseMixerFilter(checker) if checker.changes_responses else MixerFilter(checker)


def _apply(headers: Headers, operation: str, name: str, values: list[str]) -> None:
    if operation != "APPEND":
        headers.remove(name)
    for value in values:
        headers.add(name, value)
