"""The calls that are made and the answers to them: frames captured from real clients and servers, with holes.

    request   fixed | id | fixed | argument | fixed          a hole is filled anew for each call
    response  fixed | id | fixed

The id's place and width are the protocol's (Bolt v1: 4 bytes from 5, Dubbo 2: 8 bytes from 4). The argument is some
text inside the body that differs from call to call, so that no two frames are alike. Frames of one wire are of equal
length, which is what lets both ends check every byte of them cheaply.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One direction of a call: the pieces between the holes. A response has no argument, and its `after` is empty."""

    before_id: bytes
    after_id: bytes
    after_argument: bytes = b""

    def filled(self, identity: bytes, argument: bytes = b"") -> bytes:
        return b"".join((self.before_id, identity, self.after_id, argument, self.after_argument))


@dataclass(frozen=True, slots=True)
class Wire:
    """A protocol's call as one client makes it. `length_at` is where the frame's variable lengths stand."""

    name: str
    request: Frame
    response: Frame
    body: bytes  # what a response carries, which has to come back as it was
    id_width: int
    argument_width: int

    @property
    def request_length(self) -> int:
        return len(self.request.filled(bytes(self.id_width), bytes(self.argument_width)))

    @property
    def response_length(self) -> int:
        return len(self.response.filled(bytes(self.id_width)))

    def call(self, number: int) -> bytes:
        """The request with this number as its id."""
        return self.request.filled(number.to_bytes(self.id_width, "big"), self.argument(number))

    def argument(self, number: int) -> bytes:
        width = self.argument_width
        return b"%0*x" % (width, number & ((1 << 4 * width) - 1))


def _wire(name: str, request: bytes, response: bytes, body: bytes, identity: slice, argument: bytes) -> Wire:
    """Cuts the holes into a captured request and the response to it."""
    place = request.rindex(argument)
    return Wire(
        name,
        Frame(request[: identity.start], request[identity.stop : place], request[place + len(argument) :]),
        Frame(response[: identity.start], response[identity.stop :]),
        body,
        identity.stop - identity.start,
        len(argument),
    )


_BOLT_ID, _DUBBO_ID = slice(5, 9), slice(4, 12)


def bolt() -> Wire:
    """Java SOFARPC 5.14.3: `say("mesh", 3)` of a service, six headers, hessian. No trace is in its headers."""
    request = bytes.fromhex(_BOLT_REQUEST)
    response = bytes.fromhex(_BOLT_RESPONSE)
    return _wire("bolt", request, response, b"hello mesh3N", _BOLT_ID, b"mesh")


def bolt_traced() -> Wire:
    """anthunder 0.8.1 (Python): protobuf, and a trace id in the headers, so that no two header blocks are alike."""
    request = bytes.fromhex(_TRACED_REQUEST)
    response = bytes.fromhex(_TRACED_RESPONSE)
    return _wire("bolt-traced", request, response, b"echo:mesh", _BOLT_ID, b"95385763595100029046")


def dubbo() -> Wire:
    """Java Dubbo 3.1.11, protocol `dubbo`: `hello("mesh")` of an interface in a group, six attachments, hessian2."""
    request = bytes.fromhex(_DUBBO_REQUEST)
    response = bytes.fromhex(_DUBBO_RESPONSE)
    # The last "mesh" is the argument; the attachments hold none.
    return _wire("dubbo", request, response, b"hello mesh", _DUBBO_ID, b"mesh")


def wires() -> dict[str, Wire]:
    return {wire.name: wire for wire in (bolt(), bolt_traced(), dubbo())}


_BOLT_REQUEST = (
    "0101000101000000010100000fa0002c0097000000d9636f6d2e616c697061792e736f66612e7270632e636f72652e72657175657374"
    "2e536f66615265717565737400000018736f66615f686561645f7461726765745f736572766963650000000b522448656c6c6f3a312e"
    "300000000361707000000003636c690000000870726f746f636f6c00000004626f6c7400000007736572766963650000000b52244865"
    "6c6c6f3a312e3000000015736f66615f686561645f6d6574686f645f6e616d650000000373617900000004747970650000000473796e"
    "634fbc636f6d2e616c697061792e736f66612e7270632e636f72652e726571756573742e536f666152657175657374950d7461726765"
    "744170704e616d650a6d6574686f644e616d651774617267657453657276696365556e697175654e616d650c7265717565737450726f"
    "70730d6d6574686f64417267536967736f904e037361790b522448656c6c6f3a312e304d0361707003636c690870726f746f636f6c04"
    "626f6c7404747970650473796e637a567400075b737472696e676e02106a6176612e6c616e672e537472696e6703696e747a046d6573"
    "6893"
)
_BOLT_RESPONSE = (
    "010000020100000001010000002e00000000006d636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e"
    "536f6661526573706f6e73654fbe636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e536f66615265"
    "73706f6e7365940769734572726f72086572726f724d73670b617070526573706f6e73650d726573706f6e736550726f70736f90464e"
    "0b68656c6c6f206d657368334e"
)
_TRACED_REQUEST = (
    "0101000101014436170b000007d0002c015500000004636f6d2e616c697061792e736f66612e7270632e636f72652e72657175657374"
    "2e536f66615265717565737400000018736f66615f686561645f7461726765745f736572766963650000003b636f6d2e616c69706179"
    "2e7270632e636f6d6d6f6e2e736572766963652e6661636164652e70622e53616d706c655365727669636550623a312e300000001573"
    "6f66615f686561645f6d6574686f645f6e616d650000000568656c6c6f00000014736f66615f686561645f7461726765745f61707000"
    "00000000000007736572766963650000003b636f6d2e616c697061792e7270632e636f6d6d6f6e2e736572766963652e666163616465"
    "2e70622e53616d706c655365727669636550623a312e3000000003756964000000000000001d7270635f74726163655f636f6e746578"
    "742e736f6661547261636549640000001e3766303030303031313739353338353736333539353130303032393034360000001b727063"
    "5f74726163655f636f6e746578742e736f6661527063496400000001316d657368"
)
_TRACED_RESPONSE = (
    "0100000201014436170b0000002e000000000009636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e"
    "536f6661526573706f6e73656563686f3a6d657368"
)
_DUBBO_REQUEST = (
    "dabbc200255a29a81cdb3e7a0000009605322e302e320944244772656574657205312e302e300568656c6c6f124c6a6176612f6c616e"
    "672f537472696e673b046d657368480470617468094424477265657465721272656d6f74652e6170706c69636174696f6e056a636f6e"
    "7309696e74657266616365094424477265657465720776657273696f6e05312e302e300774696d656f757404343030300567726f7570"
    "0267315a"
)
_DUBBO_RESPONSE = "dabb0214255a29a81cdb3e7a0000001a940a68656c6c6f206d6573684805647562626f05322e302e325a"
