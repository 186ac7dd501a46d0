"""Request ids: random UUIDs (version 4, RFC 9562), made in batches because one at a time costs ten times as much."""

from __future__ import annotations

import binascii
import os
import struct

_BATCH = 256
_VERSION = bytes((byte & 0x0F) | 0x40 for byte in range(256))
_VARIANT = bytes((byte & 0x3F) | 0x80 for byte in range(256))


class RequestIds:
    """A stock of ids that is filled up when it is empty."""

    def __init__(self) -> None:
        self._stock: list[bytes] = []

    def next(self) -> bytes:
        """An id that nobody had before, as 36 characters."""
        stock = self._stock
        if not stock:
            self._fill()
        return stock.pop()

    def _fill(self) -> None:
        data = bytearray(os.urandom(16 * _BATCH))
        data[6::16] = data[6::16].translate(_VERSION)
        data[8::16] = data[8::16].translate(_VARIANT)
        parts = struct.iter_unpack("8s4s4s4s12s", binascii.hexlify(data))
        self._stock.extend([b"%b-%b-%b-%b-%b" % part for part in parts])
