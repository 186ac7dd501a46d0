"""A small HTTP service that says who answered: `python hello.py NAME PORT`. Any GET is answered, bodies are ignored."""

import asyncio
import sys


async def serve(name: str, port: int) -> None:
    """Answer until the process is ended."""
    body = f"hello from {name}\n".encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\nx-answered-by: {name}\r\n\r\n"
    )
    answer, answer_to_head = head.encode() + body, head.encode()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                for line in request.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.partition(b":")[2]))
                writer.write(answer_to_head if request.startswith(b"HEAD ") else answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sidecar closed the connection
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", port)
    print(f"{name} on {port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
