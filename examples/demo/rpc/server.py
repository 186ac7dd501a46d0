"""A greeter that is called by RPC: `python server.py sofarpc|dubbo VERSION PORT`. Version v2 can say goodbye, too."""

import asyncio
import importlib
import sys

GREETINGS = {
    "v1": {"sayHello": "hello"},
    "v2": {"sayHello": "hello", "sayGoodbye": "goodbye"},
}


async def serve(protocol_name: str, version: str, port: int) -> None:
    """Answer until the process is ended."""
    protocol, greetings = importlib.import_module(protocol_name), GREETINGS[version]
    name = f"{protocol_name}-{version}"

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                id, method, argument = await protocol.read_call(reader)
                if not method:
                    writer.write(protocol.heartbeat_answer(id))
                elif method in greetings:
                    writer.write(protocol.result(id, f"{greetings[method]} {argument}, from {name}"))
                else:
                    writer.write(protocol.failure(id, f"{name} has no method {method}"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sidecar closed the connection
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", port)
    print(f"{name} on {port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
