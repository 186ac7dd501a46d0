"""Calls a greeter over one connection: `python caller.py sofarpc|dubbo PORT [METHOD ...]`; --help says what else.

Every call gives one line of JSON: its method, the answer or the error, and how long it took. Errors are answers, and
the connection lives on; when it is lost, that is the end.
"""

import argparse
import asyncio
import importlib
import itertools
import json
import sys
import time

from call import TIMEOUT_MS, Answer

AT_ONCE = 4
PATIENCE_S = 20


class Connection:
    """Many calls at once on one connection: the id says which of them an answer is for."""

    def __init__(self, protocol, app: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._protocol, self._app, self._reader, self._writer = protocol, app, reader, writer
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def call(self, method: str, argument: str) -> Answer:
        """Call, and wait for the answer. Raises TimeoutError."""
        id = next(self._ids)
        self._waiting[id] = asyncio.get_running_loop().create_future()
        self._writer.write(self._protocol.request(id, method, argument, self._app))
        try:
            return await asyncio.wait_for(self._waiting[id], 2 * TIMEOUT_MS / 1000)
        finally:
            del self._waiting[id]

    async def read(self) -> None:
        """Hand out answers until the connection is lost, which raises."""
        while True:
            answer = await self._protocol.read_answer(self._reader)
            waiting = self._waiting.get(answer.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, with patience for a sidecar that was started just before."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)


async def run(arguments: argparse.Namespace) -> None:
    """Make the calls, some at once."""
    protocol = importlib.import_module(arguments.protocol)
    reader, writer = await connected(arguments.port)
    connection = Connection(protocol, arguments.app, reader, writer)
    number_of_calls = len(arguments.method) if arguments.calls is None else arguments.calls
    calls = iter(range(number_of_calls)) if number_of_calls else itertools.count()

    async def some() -> None:
        for number in calls:  # each takes the next one of all
            method = arguments.method[number % len(arguments.method)]
            started = time.perf_counter()
            answer = await connection.call(method, "mesh")
            took_s = time.perf_counter() - started
            said = {"error": answer.error} if answer.error else {"answer": answer.text}
            print(json.dumps({"method": method, **said, "ms": round(1000 * took_s, 3)}), flush=True)
            await asyncio.sleep(max(0.0, AT_ONCE / arguments.rate - took_s))

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(connection.read())
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        reading.cancel()
    writer.close()


def main() -> int:
    """Read the command and obey."""
    parser = argparse.ArgumentParser(description="Call a greeter over one connection.")
    parser.add_argument("protocol", choices=("sofarpc", "dubbo"))
    parser.add_argument("port", type=int)
    parser.add_argument("method", nargs="*", default=["sayHello"], help="methods to call in turn (sayHello)")
    parser.add_argument("--app", default="shop", help="the name of the calling application (shop)")
    parser.add_argument("--calls", type=int, help="how many calls; one of each method unless told, 0 for no end")
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second (50)")
    arguments = parser.parse_args()
    code = 0
    try:
        asyncio.run(run(arguments))
    except* (OSError, EOFError, ValueError) as errors:  # lost, no answer in time, or none that makes sense
        print(f"the connection is of no use any more: {errors.exceptions[0]!r}", file=sys.stderr)
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
