"""The bytes with which values begin: the tags of both dialects.

Values begin with a tag (hexadecimal; ``b`` are bytes that follow, big-endian; letters in quotes are ASCII)::

    both         N null · T, F booleans
                 80-bf int -16..47 · c0-cf b int -2048..2047 · d0-d7 b b int -262144..262143 · 'I' b4 int
                 d8-ef long -8..15 · f0-ff b long -2048..2047 · 38-3f b b long -262144..262143 · 'L' b8 long
                 'D' b8 double
                 00-1f string of so many units · 'S' b2 string, last or only chunk
                 20-2f binary of so many bytes · 'B' b2 binary, last or only chunk

    Hessian 2.0  59 b4 long · 5b 0.0 · 5c 1.0 · 5d b double · 5e b b double · 5f b4 double, in thousandths
                 4a b8 date, milliseconds · 4b b4 date, minutes
                 30-33 b string of up to 1023 units · 'R' b2 string, chunk before others
                 34-37 b binary of up to 1023 bytes · 'A' b2 binary, chunk before others
                 'H' (key value)* 'Z' map · 'M' type (key value)* 'Z' typed map
                 55 type value* 'Z' list · 'V' type int value* list · 57 value* 'Z' list · 58 int value* list
                 70-77 type value* list of 0 to 7 · 78-7f value* list of 0 to 7
                 'C' string int string* class definition, before a value
                 60-6f value* object of class 0 to 15 · 'O' int value* object
                 51 int reference
                 type: a string, or an int that refers to an earlier one

    SOFA 3.x     77 b4 long · 67 0.0 · 68 1.0 · 69 b double · 6a b b double · 6b b4 double, as a float
                 'd' b8 date, milliseconds
                 's' b2 string, chunk before others · 'b' b2 binary, chunk before others
                 'M' [type] (key value)* 'z' map
                 'V' [type] ['n' b | 'l' b4] value* 'z' list · 'v' int int value* list of the type with that number
                 'O' int text int string* class definition, before a value · 'o' int value* object
                 4a b · 4b b b · 'R' b4 reference
                 type: 't' b2 text, or 'u' (or 'T') int that refers to an earlier one

Sources: the Hessian 2.0 serialization specification (Caucho); what dubbo-hessian-lite and sofa-hessian 3.x read and
write, which for 5f are thousandths, where the specification has a float.
"""

from __future__ import annotations

# both
NULL, TRUE, FALSE = 0x4E, 0x54, 0x46
INT, LONG, DOUBLE = 0x49, 0x4C, 0x44
STRING, BINARY = 0x53, 0x42
MAP, LIST = 0x4D, 0x56

# Hessian 2.0 alone
MAP_UNTYPED, REF = 0x48, 0x51
LIST_OPEN, LIST_OPEN_UNTYPED, LIST_UNTYPED = 0x55, 0x57, 0x58

# SOFA alone
LIST_KNOWN, COUNT_BYTE, COUNT_INT = 0x76, 0x6E, 0x6C
REF_BYTE, REF_SHORT, REF_INT = 0x4A, 0x4B, 0x52
TYPE, TYPE_REF = 0x74, 0x75

CHUNK = 0x8000  # units or bytes in all chunks but the last, as Java's encoders make them
