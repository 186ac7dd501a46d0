"""What a call and its answer are, whichever protocol carries them."""

from typing import NamedTuple

SERVICE = "demo.Greeter"
TIMEOUT_MS = 3000


class Call(NamedTuple):
    """What a server reads. Without a method it is a heartbeat, which asks whether the connection lives."""

    id: int
    method: str
    argument: str


class Answer(NamedTuple):
    """What a caller reads: a text, or else the error."""

    id: int
    text: str
    error: str
