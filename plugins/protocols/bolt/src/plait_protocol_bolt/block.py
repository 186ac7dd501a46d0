"""The header block of a Bolt frame: a map of strings, parsed when somebody asks.

It is any number of pairs ``i32 length, name · i32 length, value``, big-endian, length -1 for null (Java:
``SimpleMapSerializer`` of SOFARPC). Names are case-sensitive there and in lower case here, so what a filter leaves
alone is written again byte for byte, and what it sets gets the spelling that the name had, or is known to have. A null
value reads as an empty one and stays null; a field whose name is null is handed on and shown to nobody.

Callers send the same block again and again, apart from trace ids. So blocks are looked up by their bytes; and for those
that differ in a few values, a *template* remembers which spans of a block were the same: when all of them are, every
length in the block is the known one, so its structure is valid and what routing needs of it is known, without a walk.
Both tables are bounded and emptied when full: a caller that never repeats itself costs a walk for each block.
"""

from __future__ import annotations

from struct import Struct

from plait.api import UNGROWN, Block, Headers, LocalProtocolError

Entry = tuple[bytes | None, bytes | None, int, int]
"""Name and value as they stand there, and where the entry begins and ends."""

_LENGTH = Struct(">i")
_NULL = b"\xff\xff\xff\xff"

SERVICE = b"service"
TARGET_SERVICE = b"sofa_head_target_service"
METHOD = b"sofa_head_method_name"
ERROR = b"sofa_head_response_error"
_ROUTING = frozenset((SERVICE, TARGET_SERVICE, METHOD, ERROR))
_TRACE = b"rpc_trace_context."

_SPELLINGS = {
    name.lower(): name
    for name in (
        b"rpc_trace_context.sofaTraceId",
        b"rpc_trace_context.sofaRpcId",
        b"rpc_trace_context.sofaPenAttrs",
        b"rpc_trace_context.sofaCallerApp",
        b"rpc_trace_context.sofaCallerZone",
        b"rpc_trace_context.sofaCallerIdc",
        b"rpc_trace_context.sofaCallerIp",
        b"rpc_trace_context.sysPenAttrs",
        b"rpc_trace_context.samp",
    )
}

_LONGEST_KNOWN = 2048
_KNOWN_LIMIT = 1024
_LENGTHS_LIMIT = 256
_TEMPLATES_PER_LENGTH = 4
_WITHOUT_LIMIT = 32


class BlockError(Exception):
    """A header block that is not one; the message says why."""


def walk(source: bytes) -> list[Entry]:
    """The entries of a block; raises BlockError for lengths that lie and for a name that is there twice."""
    entries: list[Entry] = []
    names: set[bytes] = set()
    read = _LENGTH.unpack_from
    at, end = 0, len(source)
    while at < end:
        begin = at
        found: list[bytes | None] = []
        for _ in range(2):
            if at + 4 > end:
                raise BlockError("header block ends inside a length")
            length: int = read(source, at)[0]
            at += 4
            if length == -1:
                found.append(None)
            elif length < 0 or length > end - at:
                raise BlockError(f"header block has a length of {length} where {end - at} bytes are left")
            else:
                found.append(source[at : at + length])
                at += length
        name, value = found
        if name is not None:
            if name in names:
                raise BlockError(f"header {name[:64]!r} is there twice")
            names.add(name)
        entries.append((name, value, begin, at))
    return entries


class BoltBlock(Block):
    """Fields of a frame. ``source`` is the block as it came; ``service``, ``method`` and ``failed`` are what it says.

    ``failed`` is SOFARPC's mark for an exception of the application (``sofa_head_response_error``).
    """

    __slots__ = ("_entries", "_index", "_keep", "_raw", "_shorter", "dropped", "failed", "method", "service", "source")

    repeats = False
    grown = UNGROWN

    def __init__(self, source: bytes, service: bytes, method: bytes, failed: bool) -> None:
        self.source: bytes = source
        self.service: bytes = service
        self.method: bytes = method
        self.failed: bool = failed
        self.dropped: dict[bytes, bytes] | None = None  # how names that were taken out were spelled
        self._entries: list[Entry] | None = None
        self._raw: list[tuple[bytes, bytes]] | None = None
        self._index: dict[bytes, bytes] | None = None
        self._keep: dict[str, bytes] | None = None
        self._shorter: dict[bytes, BoltBlock] | None = None

    @property
    def entries(self) -> list[Entry]:
        """What ``walk`` gives."""
        entries = self._entries
        if entries is None:
            entries = self._entries = walk(self.source)
        return entries

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]
        """Fields with names in lower case."""
        raw = self._raw
        if raw is None:
            raw = self._raw = [(name.lower(), value or b"") for name, value, _, _ in self.entries if name is not None]
        return raw

    @property
    def index(self) -> dict[bytes, bytes]:  # type: ignore[override]
        """The first value of each name."""
        index = self._index
        if index is None:
            index = self._index = dict(self.raw[::-1])
        return index

    @property
    def encoded(self) -> dict[str, bytes]:  # type: ignore[override]
        """What other codecs made of the block."""
        keep = self._keep
        if keep is None:
            keep = self._keep = {}
        return keep

    def without(self, name: bytes) -> BoltBlock:
        """The block that is left without ``name``, in the original spelling."""
        memo = self._shorter
        if memo is None:
            memo = self._shorter = {}
        if name in memo:
            return memo[name]
        kept: list[bytes] = []
        dropped = dict(self.dropped or ())
        for spelled, _, begin, end in self.entries:
            if spelled is not None and spelled.lower() == name:
                dropped.setdefault(name, spelled)
            else:
                kept.append(self.source[begin:end])
        shorter = BoltBlock(b"".join(kept), b"", b"", self.failed and name != ERROR)
        shorter.dropped = dropped
        if len(memo) < _WITHOUT_LIMIT:
            memo[name] = shorter
        return shorter


EMPTY = BoltBlock(b"", b"", b"", False)


class _Template:
    """What blocks of one length have in common: see the module."""

    __slots__ = ("entries", "failed", "method", "service", "spans", "variable")

    def __init__(self, source: bytes, entries: list[Entry], variable: set[int], block: BoltBlock) -> None:
        self.entries = entries
        self.variable = variable
        self.service = block.service
        self.method = block.method
        self.failed = block.failed
        self.spans: list[tuple[int, int, bytes]] = []
        begin = 0
        for number, (_, value, _, end) in enumerate(entries):
            if number in variable and value:
                self.spans.append((begin, end - len(value), source[begin : end - len(value)]))
                begin = end
        if begin < len(source):
            self.spans.append((begin, len(source), source[begin:]))

    def varying(self, entries: list[Entry]) -> set[int] | None:
        """Which values vary between the template and a block like it; None when they are not alike."""
        if len(entries) != len(self.entries):
            return None
        varying = set(self.variable)
        for number, (old, new) in enumerate(zip(self.entries, entries, strict=True)):
            if old[0] != new[0] or old[3] != new[3] or (old[1] is None) != (new[1] is None):
                return None
            if old[1] != new[1]:
                if new[0] in _ROUTING:
                    return None
                varying.add(number)
        return varying


KNOWN: dict[bytes, BoltBlock] = {b"": EMPTY}
"""Blocks by their bytes: what ``block_of`` looks at first, for those who ask very often."""

_templates: dict[int, list[_Template]] = {}


def block_of(source: bytes) -> BoltBlock:
    """The block that these bytes are; raises BlockError where they are none."""
    block = KNOWN.get(source)
    if block is not None:
        return block
    templates = _templates.get(len(source))
    if templates is not None:
        for template in templates:
            for begin, end, same in template.spans:
                if source[begin:end] != same:
                    break
            else:
                return BoltBlock(source, template.service, template.method, template.failed)
    return _learned(source)


def _learned(source: bytes) -> BoltBlock:
    entries = walk(source)
    found = {name: value for name, value, _, _ in entries if name in _ROUTING}
    service = found.get(SERVICE) or found.get(TARGET_SERVICE) or b""
    block = BoltBlock(source, service, found.get(METHOD) or b"", found.get(ERROR) == b"true")
    block._entries = entries
    if len(source) > _LONGEST_KNOWN:
        return block
    if len(_templates) >= _LENGTHS_LIMIT and len(source) not in _templates:
        _templates.clear()
    alike = _templates.setdefault(len(source), [])
    variable = {
        number for number, (name, _, _, _) in enumerate(entries) if name is not None and name.startswith(_TRACE)
    }
    for template in alike:
        varying = template.varying(entries)
        if varying is not None:
            variable |= varying
            alike.remove(template)
            break
    if len(alike) >= _TEMPLATES_PER_LENGTH:
        del alike[0]
    alike.append(_Template(source, entries, variable, block))
    if not variable:
        if len(KNOWN) >= _KNOWN_LIMIT:
            KNOWN.clear()
            KNOWN[b""] = EMPTY
        KNOWN[source] = block
    return block


def field(name: bytes, value: bytes | None) -> bytes:
    """An entry as it is written."""
    written = _LENGTH.pack(len(name)) + name
    return written + (_NULL if value is None else _LENGTH.pack(len(value)) + value)


def encode_headers(headers: Headers, origin: BoltBlock | None = None) -> bytes:
    """The block that headers make; ``origin`` is the one that the message came with.

    Raises LocalProtocolError for a block that no frame has room for.
    """
    block = headers.block
    spelled = dict(block.dropped or ()) if isinstance(block, BoltBlock) else {}
    nulls: set[bytes] = set()
    if origin is not None and not isinstance(block, BoltBlock):
        for name, value, _, _ in origin.entries:  # the whole list was replaced: what is left of it keeps its looks
            if name is not None:
                spelled.setdefault(name.lower(), name)
                if value is None:
                    nulls.add(name.lower())
    parts = [block.source] if isinstance(block, BoltBlock) else []
    fields = [] if parts else block.raw
    for low, text in (*fields, *headers.added.items()):
        null = not text and low in nulls
        parts.append(field(spelled.get(low) or _SPELLINGS.get(low, low), None if null else text))
    source = b"".join(parts)
    if len(source) > 0x7FFF:
        raise LocalProtocolError(f"cannot send a header block of {len(source)} bytes", status=500)
    return source
