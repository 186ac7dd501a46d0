"""A gRPC server of Python's grpcio without generated code, messages are bytes: ``grpcio_echo.py PORT``."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "plait.interop.Echo"
LIMITS = [("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20)]


class Echo(grpc.GenericRpcHandler):
    """Every method, by the last part of its name."""

    def __init__(self) -> None:
        self._tries: Counter[bytes] = Counter()
        self._ended: Counter[str] = Counter()
        self._changed = threading.Condition()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method of ours."""
        service, _, name = details.method.strip("/").partition("/")
        made = getattr(self, name, None) if service == SERVICE and name[:1].isupper() else None
        return made() if made is not None else None

    def Unary(self) -> grpc.RpcMethodHandler:
        def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
            seen = dict(context.invocation_metadata())
            context.send_initial_metadata((("x-head", "seen"), ("x-head-bin", b"\0\xff\n")))
            context.set_trailing_metadata((("x-trailer", str(seen.get("x-asked", ""))),))
            return b"echo " + request

        return grpc.unary_unary_rpc_method_handler(unary)

    def Join(self) -> grpc.RpcMethodHandler:
        return grpc.stream_unary_rpc_method_handler(lambda requests, _: b",".join(requests))

    def Count(self) -> grpc.RpcMethodHandler:
        def count(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            for number in range(int(request)):
                yield b"%d" % number

        return grpc.unary_stream_rpc_method_handler(count)

    def Talk(self) -> grpc.RpcMethodHandler:
        def talk(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            for request in requests:
                yield b"echo " + request

        return grpc.stream_stream_rpc_method_handler(talk)

    def Fail(self) -> grpc.RpcMethodHandler:
        def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
            context.set_trailing_metadata((("x-trailer", "seen"),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: ü")

        return grpc.unary_unary_rpc_method_handler(fail)

    def FailLate(self) -> grpc.RpcMethodHandler:
        def fail_late(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield b"first"
            context.abort(grpc.StatusCode.DATA_LOSS, "no more")

        return grpc.unary_stream_rpc_method_handler(fail_late)

    def Flaky(self) -> grpc.RpcMethodHandler:
        """Fails with UNAVAILABLE the first two times for each message, before any answer."""

        def flaky(request: bytes, context: grpc.ServicerContext) -> bytes:
            with self._changed:
                self._tries[request] += 1
                tries = self._tries[request]
            if tries < 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return b"try %d" % tries

        return grpc.unary_unary_rpc_method_handler(flaky)

    def Wait(self) -> grpc.RpcMethodHandler:
        """Says what time is left (unless it is to be silent), then waits until nobody wants it, and remembers that."""

        def wait(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            left = context.time_remaining()
            over = threading.Event()
            context.add_callback(over.set)
            if not request.startswith(b"silent"):
                yield b"%.3f" % left if left is not None and left < 1e6 else b"forever"
            over.wait(20)
            with self._changed:
                self._ended[request.decode()] += 1
                self._changed.notify_all()

        return grpc.unary_stream_rpc_method_handler(wait)

    def Ended(self) -> grpc.RpcMethodHandler:
        """How many calls of ``Wait`` with this message ended, once any did."""

        def ended(request: bytes, context: grpc.ServicerContext) -> bytes:
            with self._changed:
                self._changed.wait_for(lambda: self._ended[request.decode()], 10)
                return b"%d" % self._ended[request.decode()]

        return grpc.unary_unary_rpc_method_handler(ended)

    def Crash(self) -> grpc.RpcMethodHandler:
        def crash(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield b"first"
            context.cancel()
            time.sleep(0.1)

        return grpc.unary_stream_rpc_method_handler(crash)


def main(port: int) -> None:
    """Serve until somebody ends us."""
    server = grpc.server(ThreadPoolExecutor(64), [Echo()], options=LIMITS, maximum_concurrent_rpcs=None)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(int(sys.argv[1]))
