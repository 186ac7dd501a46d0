"""The tree of errors: one root, and a branch for each way things go wrong.

A message says what failed, where, and what to do; lower case, no full stop.
"""

from __future__ import annotations

from collections.abc import Sequence


class PlaitError(Exception):
    """Root of every error that Plait raises on purpose."""


class ConfigError(PlaitError):
    """One thing wrong with a configuration, and the place of it.

    ``file``, ``line`` and ``column`` count from one; ``line`` is 0 where the configuration did not come from a text.
    ``path`` is the way to the field (``("static_resources", "clusters", 0, "name")``).
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str = "",
        hint: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
        path: Sequence[str | int] = (),
    ) -> None:
        self.what = what
        self.expected = expected
        self.hint = hint
        self.file = file
        self.line = line
        self.column = column
        self.path = tuple(path)
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.file or '<config>'}:{self.line}:{self.column}: " if self.line else ""
        text = place + self.what
        if self.expected:
            text += f", expected {self.expected}"
        if self.hint:
            text += f", {self.hint}"
        return text


class ConfigErrors(ConfigError):
    """Everything found wrong in one configuration, in the order of the text."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(
            first.what,
            expected=first.expected,
            hint=first.hint,
            file=first.file,
            line=first.line,
            column=first.column,
            path=first.path,
        )

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors) if hasattr(self, "errors") else super().__str__()


class PluginError(PlaitError):
    """A plugin that cannot be used: which one, whose, why, and what to do about it."""

    def __init__(self, name: str, cause: str, *, distribution: str = "", remedy: str = "") -> None:
        self.name = name
        self.cause = cause
        self.distribution = distribution
        self.remedy = remedy
        owner = f" of {distribution}" if distribution else ""
        advice = f"; {remedy}" if remedy else ""
        super().__init__(f"plugin {name!r}{owner}: {cause}{advice}")


class ProtocolError(PlaitError):
    """A peer, or we, broke the rules of a protocol.

    ``status`` is the answer to give in HTTP's terms (each protocol maps it to its own; 0: there is nobody to
    answer), ``counter`` the name of the statistic that counts it, ``survives`` whether the connection can go on.
    """

    def __init__(
        self, message: str, *, status: int = 400, counter: str = "protocol_error", survives: bool = False
    ) -> None:
        self.status = status
        self.counter = counter
        self.survives = survives
        super().__init__(message)


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol forbids."""


class LocalProtocolError(ProtocolError):
    """We were about to send what the protocol forbids: a fault of a filter or of Plait."""


class UpstreamError(PlaitError):
    """No answer could be had from an upstream; ``flag`` is Envoy's response flag (``UF``, ``UH``, ``UT`` …)."""

    def __init__(self, message: str, *, flag: str) -> None:
        self.flag = flag
        super().__init__(message)


class OverloadError(PlaitError):
    """A limit of ours is reached; the stated policy of that limit was applied."""
