"""What a request or a response says beyond its frame, read when it is asked for: the ``native`` of messages.

Both are the block of their message's headers too, whose fields are the attachments: a message whose attachments nobody
looks at costs one object, and none of its body is read behind the method.
"""

from __future__ import annotations

import re

from plait.api import UNGROWN, Block, Field, Message, Native, decode
from plait_protocol_dubbo.form import Attachments, BrokenBody, Form
from plait_protocol_dubbo.forms import FORMS
from plait_protocol_dubbo.frame import EXCEPTION, NAMES, NULL, OK, SERIALIZATION, TWO_WAY, WITH_ATTACHMENTS
from plait_protocol_dubbo.front import Front

_PARAMETER = re.compile(rb"\[*(?:[BCDFIJSZV]|L[^;]*;)")
_NO_SPELLING: dict[bytes, bytes] = {}


class LazyBlock(Block, Native):
    """Attachments as headers; ``broken`` once they were looked for and are not what they should be.

    Messages that are ``streamed`` pass in pieces: their attachments are not known and cannot be changed. ``spelling``
    says, for names in lower case, how to write the attachments that filters add.
    """

    __slots__ = ("_found", "_index", "_raw", "body", "broken", "flag", "length", "spelling")

    flag: int
    body: bytes
    length: int
    broken: bool
    spelling: dict[bytes, bytes]
    _found: Attachments | None  # once _raw is there
    _raw: list[Field] | None
    _index: dict[bytes, bytes]

    # What Block keeps in slots is made here when somebody asks; its ``__init__`` is not called.
    repeats = False
    grown = UNGROWN

    @property
    def raw(self) -> list[Field]:  # type: ignore[override]
        fields = self._raw
        return self._load() if fields is None else fields

    @property
    def index(self) -> dict[bytes, bytes]:  # type: ignore[override]
        if self._raw is None:
            self._load()
        return self._index

    @property
    def encoded(self) -> dict[str, bytes]:  # type: ignore[override]
        return {}

    def without(self, name: bytes) -> Block:
        return Block([field for field in self.raw if field[0] != name])

    @property
    def form(self) -> Form | None:
        """The form of the serialization, None for one that is not read here."""
        return FORMS.get(self.flag & SERIALIZATION)

    @property
    def streamed(self) -> bool:
        """Whether no more than the beginning of the body is known here."""
        return len(self.body) != self.length

    @property
    def serialization(self) -> str:
        """The serialization by name: hessian2, fastjson2 …"""
        number = self.flag & SERIALIZATION
        return NAMES.get(number) or str(number)

    def find(self, name: bytes, message: Message) -> bytes | None:
        """``:serialization``, by name, for routes, logs and policies."""
        return self.serialization.encode() if name == b":serialization" else None

    def spell(self, name: str) -> None:
        """Write an attachment that is added under ``name`` as it is spelt here; headers know lower case only."""
        if self.spelling is _NO_SPELLING:
            self.spelling = {}
        self.spelling[name.lower().encode()] = name.encode()

    def found(self) -> Attachments | None:
        """The attachments and their place; None where there are none to be read."""
        if self._raw is None:
            self._load()
        if self._found is _NOT_SOUGHT:
            self._find()
        return self._found

    def _load(self) -> list[Field]:
        form = self.form
        self._found = None
        fields: list[Field] | None = None
        if self.streamed or form is None:
            fields = self._known()
        else:
            place = self._place(form)
            if place is not None:
                self._found = _NOT_SOUGHT
                fields = form.quick_fields(self.body, *place)
                if fields is None:
                    found = self._find()
                    fields = [] if found is None else [(entry.lower, entry.value) for entry in found.entries]
        self._raw = fields = fields or []
        self._index = dict(fields[::-1])
        return fields

    def _find(self) -> Attachments | None:
        form = self.form
        place = None if form is None else self._place(form)
        self._found = None
        if form is not None and place is not None:
            try:
                self._found = form.attachments(self.body, *place)
            except BrokenBody:
                self.broken = True
        return self._found

    def _place(self, form: Form) -> tuple[int, int] | None:
        """Where the values begin that stand before the attachments, and how many there are; None without any."""
        raise NotImplementedError

    def _known(self) -> list[Field]:
        """What is known of the attachments without reading them."""
        return []

    @property
    def attachments(self) -> dict[str, str]:
        """The attachments as they came, under their names as spelt; values that are no text are empty."""
        found = self.found()
        return {} if found is None else {decode(entry.name): decode(entry.value) for entry in found.entries}


class DubboCall(LazyBlock):
    """A request: ``request.native``.

    What cannot be read raises nothing: attachments are empty and ``broken`` is true, ``arguments()`` is None.
    """

    __slots__ = ("front",)

    def __init__(self, flag: int, body: bytes, length: int, front: Front) -> None:
        self.flag = flag
        self.body = body
        self.length = length
        self.broken = False
        self.spelling = _NO_SPELLING
        self.front = front
        self._raw = None

    @property
    def two_way(self) -> bool:
        """Whether the caller waits for a response."""
        return bool(self.flag & TWO_WAY)

    @property
    def dubbo_version(self) -> str:
        """The version of the protocol as the caller says it, such as ``2.0.2``."""
        return decode(self.front.dubbo_version)

    @property
    def interface(self) -> str:
        """The path, which is the interface unless the service was exported under another."""
        return decode(self.front.path)

    @property
    def service_version(self) -> str:
        """The version of the service; empty or ``0.0.0`` when it has none."""
        return decode(self.front.version)

    @property
    def method(self) -> str:
        """The method's name."""
        return decode(self.front.method)

    @property
    def group(self) -> str:
        """The service's group, which is an attachment; empty when there is none, or it is not known."""
        return decode(self.index.get(b"group", b""))

    @property
    def timeout_s(self) -> float:
        """The caller's own deadline, which is an attachment; 0 when it says none."""
        value = self.index.get(b"timeout", b"")
        return int(value) / 1000 if len(value) < 10 and value.isdigit() else 0.0

    def find(self, name: bytes, message: Message) -> bytes | None:
        """Also ``:dubbo-version``, ``:service-version`` and ``:parameter-types``."""
        if name == b":service-version":
            return self.front.version or None
        if name == b":parameter-types":
            return self._descriptor()[0] or None
        return self.front.dubbo_version or None if name == b":dubbo-version" else super().find(name, message)

    @property
    def parameter_types(self) -> str:
        """The JVM descriptor of the parameters, such as ``Ljava/lang/String;I``; empty also when it cannot be read."""
        return decode(self._descriptor()[0])

    def arguments(self) -> list[object] | None:
        """The arguments, as ``plait_protocol_hessian`` or ``plait_protocol_dubbo.jsonb`` read them."""
        descriptor, at = self._descriptor()
        form = self.form
        count = _count(descriptor)
        if form is None or self.streamed or not at or count is None:
            return None
        try:
            return form.values(self.body, at, count)
        except BrokenBody:
            self.broken = True
            return None

    def _descriptor(self) -> tuple[bytes, int]:
        form, start = self.form, self.front.length
        if form is None or not start:
            return b"", 0
        try:
            descriptor, at = form.string(self.body, start, len(self.body))
            if at <= len(self.body):
                return descriptor, at
        except (IndexError, ValueError):
            pass
        if not self.streamed:
            self.broken = True
        return b"", 0

    def _known(self) -> list[Field]:
        front = self.front
        fields = [(b"path", front.path), (b"interface", front.path), (b"version", front.version)]
        return [field for field in fields if field[1]]

    def _place(self, form: Form) -> tuple[int, int] | None:
        descriptor, at = self._descriptor()
        count = _count(descriptor)
        if at and count is not None:
            return at, count
        self.broken = self.front.length > 0
        return None

    def takes_attachments(self) -> bool:
        """Whether the caller understands a response with attachments."""
        version = self.front.dubbo_version
        return len(version) == 5 and version.startswith(b"2.0.") and b"2" <= version[4:] <= b"9"


class DubboResult(LazyBlock):
    """A response: ``response.native``. ``kind`` is -1 where there is none, or it cannot be read."""

    __slots__ = ("status",)

    def __init__(self, flag: int, body: bytes, length: int, status: int) -> None:
        self.flag = flag
        self.body = body
        self.length = length
        self.broken = False
        self.spelling = _NO_SPELLING
        self.status = status
        self._raw = None

    def find(self, name: bytes, message: Message) -> bytes | None:
        """Also ``:exception``, which is ``true`` where the method was called and raised."""
        if name == b":exception":
            return b"true" if self.is_exception else None
        return super().find(name, message)

    @property
    def kind(self) -> int:
        """0 exception, 1 value, 2 null, and 3, 4, 5 for the same with attachments."""
        return self.kind_and_end()[0]

    @property
    def is_exception(self) -> bool:
        """Whether the method was called and raised."""
        return self.kind in (EXCEPTION, EXCEPTION + WITH_ATTACHMENTS)

    def kind_and_end(self) -> tuple[int, int]:
        """The kind, and where it ends."""
        form = self.form
        if form is None or self.status != OK:
            return -1, 0
        try:
            kind, end = form.kind(self.body)
        except (IndexError, ValueError):
            return -1, 0
        return (kind, end) if 0 <= kind <= 5 else (-1, 0)

    def value(self) -> object:
        """The value or exception; None also where there is none, or it cannot be read."""
        kind, at = self.kind_and_end()
        form = self.form
        if form is None or kind < 0 or kind % WITH_ATTACHMENTS == NULL or self.streamed:
            return None
        try:
            return form.values(self.body, at, 1)[0]
        except BrokenBody:
            self.broken = True
            return None

    def _place(self, form: Form) -> tuple[int, int] | None:
        kind, at = self.kind_and_end()
        return None if kind < WITH_ATTACHMENTS else (at, 0 if kind == NULL + WITH_ATTACHMENTS else 1)


def _count(descriptor: bytes) -> int | None:
    """How many parameters a descriptor has, None for what is none."""
    count = _COUNTS.get(descriptor)
    if count is None:
        parts = _PARAMETER.findall(descriptor)
        if sum(map(len, parts)) != len(descriptor):
            return None
        count = len(parts)
        if len(_COUNTS) < _COUNTS_AT_MOST and len(descriptor) <= _LONGEST_COUNTED:
            _COUNTS[descriptor] = count
    return count


_COUNTS: dict[bytes, int] = {}
_COUNTS_AT_MOST = 1024
_LONGEST_COUNTED = 512
_NOT_SOUGHT = Attachments(0, 0, [])
