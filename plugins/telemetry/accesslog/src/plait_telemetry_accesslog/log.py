"""The access log: a line for each stream or connection that ended, gathered here and written by ``writing``."""

from __future__ import annotations

from plait import AccessLog, Connection, Context, Stream
from plait.stream import compile_format, compile_json_format
from plait_telemetry_accesslog.settings import AccessLogSettings
from plait_telemetry_accesslog.writing import LogFile


class FormattedLog(AccessLog):
    """Fills the format in and hands the line to its file."""

    def __init__(self, settings: AccessLogSettings, file: LogFile) -> None:
        if settings.json is not None:
            self._format = compile_json_format(settings.json, omit_empty_values=settings.omit_empty_values)
            self._end = "\n"
        else:
            self._format = compile_format(settings.text, missing="" if settings.omit_empty_values else "-")
            self._end = ""
        self._file = file

    def record(self, stream: Stream) -> None:
        self._file.add((self._format(stream) + self._end).encode("utf-8", "surrogateescape"))

    def record_connection(self, connection: Connection) -> None:
        self._file.add((self._format(connection) + self._end).encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    async def closed(self) -> None:
        await self._file.written()


def make_log(settings: AccessLogSettings, context: Context) -> FormattedLog:
    """The log for the settings. Raises ``ConfigError`` when the file cannot be opened."""
    return FormattedLog(settings, LogFile(settings.path, context))
