"""The Huffman code of header strings (RFC 7541, 5.2 and appendix B), read only: nothing we send is coded.

The code is canonical: the lengths of the codes say everything, because codes count upwards within a length, and from
one length to the next. Bytes are decoded one at a time, not bits: what a byte does in a state (a node of the tree) is
worked out when it is first met and then remembered.
"""

from __future__ import annotations

from plait_protocol_http2.errors import COMPRESSION_ERROR, Violation

_EOS = 256
_STEPS_LIMIT = 16384

# Symbols by the length of their code, in the order of the codes.
_SYMBOLS: dict[int, list[int]] = {
    5: [*b"012aceiost"],
    6: [*b" %-./3456789=A_bdfghlmnpru"],
    7: [*b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
    8: [*b"&*,;XZ"],
    10: [*b"!\"()?"],
    11: [*b"'+|"],
    12: [*b"#>"],
    13: [*b"\x00$@[]~"],
    14: [*b"^}"],
    15: [*b"<`{"],
    19: [92, 195, 208],
    20: [128, 130, 131, 162, 184, 194, 224, 226],
    21: [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230],
    22: [129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196,
         198, 228, 232, 233],
    23: [1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180,
         182, 183, 188, 191, 197, 231, 239],
    24: [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
    25: [199, 207, 234, 235],
    26: [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255],
    27: [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254],
    28: [2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220,
         249],
    30: [10, 13, 22, _EOS],
}  # fmt: skip


def _codes() -> dict[tuple[int, int], int]:
    """Length and code to symbol."""
    codes: dict[tuple[int, int], int] = {}
    code = length = 0
    for bits, symbols in _SYMBOLS.items():
        code <<= bits - length
        length = bits
        for symbol in symbols:
            codes[bits, code] = symbol
            code += 1
    return codes


def _tree() -> tuple[list[int], frozenset[int]]:
    """The node that each bit leads to from each node (at ``2 * node + bit``), and the nodes a string may end in.

    A leaf is written as -1 minus its symbol. A string ends in the root, or after at most seven one bits from there.
    """
    next_nodes = [0, 0]
    ends = {0}
    for (length, code), symbol in _codes().items():
        node = 0
        for place in range(length - 1, -1, -1):
            at = 2 * node + (code >> place & 1)
            if not place:
                next_nodes[at] = -1 - symbol
            elif next_nodes[at]:
                node = next_nodes[at]
            else:
                node = next_nodes[at] = len(next_nodes) // 2
                next_nodes += (0, 0)
            if symbol == _EOS and length - place <= 7:
                ends.add(node << 8)
    return next_nodes, frozenset(ends)


_NEXT, _ENDS = _tree()


class _Steps(dict[int, tuple[int, bytes]]):
    """State (a node, times 256) plus byte, to the next state and the symbols that are complete by then."""

    def __missing__(self, key: int) -> tuple[int, bytes]:
        node, byte = key >> 8, key & 0xFF
        symbols = bytearray()
        for place in range(7, -1, -1):
            node = _NEXT[2 * node + (byte >> place & 1)]
            if node < 0:
                if node == -1 - _EOS:
                    raise Violation(COMPRESSION_ERROR, "a Huffman string contains EOS")
                symbols.append(-1 - node)
                node = 0
        if len(self) >= _STEPS_LIMIT:
            self.clear()
        step = self[key] = (node << 8, bytes(symbols))
        return step


_STEPS = _Steps()


def decode_huffman(data: bytes) -> bytes:
    """The string that ``data`` stands for; raises Violation for padding that is not the beginning of EOS."""
    steps = _STEPS
    state = 0
    pieces: list[bytes] = []
    for byte in data:
        state, piece = steps[state | byte]
        pieces.append(piece)
    if state not in _ENDS:
        raise Violation(COMPRESSION_ERROR, "a Huffman string is padded with anything but ones, or with too many")
    return b"".join(pieces)
