"""A scripted HTTP server that speaks the wire format of OpenAI's chat completions and pictures.

Tests drive it through the real `openai` and `langchain-openai` clients, so what they prove holds for the wire:
server-sent events, usage chunks, `Retry-After`, connections cut in the middle, clients that leave.

```python
with ScriptedOpenAI(Status(429, retry_after_s=1), Text("hello")) as server:
    client = openai.OpenAI(base_url=server.base_url, api_key="any")
    ...
    assert server.requests[0].body["model"] == "gpt-5.4-mini"
```

From a shell, `python -m agent_worker.testing.openai_server --port 8400` prints its URL and serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from types import TracebackType
from typing import Self, assert_never

from agent_worker.domain.json import JsonObject
from agent_worker.testing.http_wire import ClientLeft, Connection, RecordedRequest, WatchfulReader
from agent_worker.testing.openai_replies import (
    Cut,
    Drawn,
    ErrorEvent,
    Hang,
    ImageReply,
    JsonText,
    Refusal,
    Reply,
    Slow,
    Spoken,
    Status,
    Text,
    ToolCall,
    completion,
    completion_chunks,
    echo_last_user,
    error_body,
    images_response,
)

__all__ = [
    "Cut",
    "Drawn",
    "ErrorEvent",
    "Hang",
    "ImageReply",
    "JsonText",
    "RecordedRequest",
    "Refusal",
    "Reply",
    "ScriptedOpenAI",
    "Slow",
    "Status",
    "Text",
    "ToolCall",
]

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 30.0
_CHAT = "/v1/chat/completions"
_IMAGES = ("/v1/images/generations", "/v1/images/edits")
_MODELS: JsonObject = {
    "object": "list",
    "data": [{"id": "scripted", "object": "model", "created": 0, "owned_by": "agent-worker"}],
}


class ScriptedOpenAI:
    """An OpenAI-compatible server on the loopback interface, in a thread of its own.

    Each chat request takes the next reply of the script; once the script is used up, `default` answers.

    Args:
        replies: The script, in order.
        port: TCP port; 0 takes a free one.
        default: Makes the reply to a chat request when the script is empty.
    """

    def __init__(
        self, *replies: Reply, port: int = 0, default: Callable[[JsonObject], Reply] = echo_last_user
    ) -> None:
        self._script = deque(replies)
        self._pictures: deque[ImageReply] = deque()
        self._port = port
        self._default = default
        self._requests: list[RecordedRequest] = []
        self._abandoned = 0
        self._changed = threading.Condition()
        self._started = threading.Event()
        self._start_error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="scripted-openai", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:<port>/v1`, as clients take it."""
        return f"http://{_HOST}:{self._port}/v1"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request so far, oldest first."""
        with self._changed:
            return tuple(self._requests)

    @property
    def abandoned(self) -> int:
        """Chat requests whose client left before the answer was complete."""
        with self._changed:
            return self._abandoned

    def script(self, *replies: Reply) -> None:
        """Add replies to the end of the script."""
        with self._changed:
            self._script.extend(replies)

    def script_pictures(self, *replies: ImageReply) -> None:
        """Add replies to the script of pictures; once that is used up, each is one pixel."""
        with self._changed:
            self._pictures.extend(replies)

    def wait_until(self, condition: Callable[[ScriptedOpenAI], bool], *, timeout_s: float = 30.0) -> bool:
        """Block until `condition(self)` holds; look again after each request and each client that left.

        Returns:
            False when `timeout_s` seconds passed first.
        """
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout_s)

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._thread.start()
        self._started.wait(_START_TIMEOUT_S)
        if self._start_error is not None:
            raise self._start_error

    def stop(self) -> None:
        """Close every connection and end the thread; twice is fine, unstarted is fine."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._start_error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        answering: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert isinstance(reader, WatchfulReader)  # noqa: S101 - the factory below makes no other
            task = loop.create_task(self._converse(Connection(reader, writer)))
            answering.add(task)
            task.add_done_callback(answering.discard)

        server = await loop.create_server(
            lambda: asyncio.StreamReaderProtocol(WatchfulReader(), accept), _HOST, self._port
        )
        async with server:
            self._port = server.sockets[0].getsockname()[1]
            self._loop = loop
            self._started.set()
            await self._stop.wait()
            server.close()
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)

    async def _converse(self, connection: Connection) -> None:
        """Answer the requests of one kept-alive connection until the client leaves."""
        try:
            while (request := await connection.read_request()) is not None:
                await self._answer(request, connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, or the script cut the connection
        finally:
            await connection.close()

    async def _answer(self, request: RecordedRequest, connection: Connection) -> None:
        with self._changed:
            self._requests.append(request)
            is_chat = request.method == "POST" and request.path == _CHAT
            reply = self._next(request) if is_chat else None
            is_image = request.method == "POST" and request.path in _IMAGES
            picture = (self._pictures.popleft() if self._pictures else Drawn()) if is_image else None
            self._changed.notify_all()
        if request.path == "/v1/models":
            await connection.send_json(200, _MODELS)
        elif picture is not None:
            await self._draw(picture, connection)
        elif reply is None:
            await connection.send_json(404, error_body(Status(404, message="no such route")))
        else:
            await self._speak(reply, request.body, connection)

    def _next(self, request: RecordedRequest) -> Reply:
        return self._script.popleft() if self._script else self._default(request.body)

    async def _draw(self, reply: ImageReply, connection: Connection) -> None:
        if isinstance(reply, Drawn):
            await connection.send_json(200, images_response(reply))
        else:
            await self._speak(reply, {}, connection)

    async def _speak(self, reply: Reply, request: JsonObject, connection: Connection) -> None:
        try:
            match reply:
                case Status():
                    after = {} if reply.retry_after_s is None else {"retry-after": str(reply.retry_after_s)}
                    await connection.send_json(reply.status, error_body(reply), after)
                case Hang():
                    await connection.wait_gone()
                case Text() | JsonText() | Refusal() | ToolCall() | Cut() | ErrorEvent() | Slow():
                    send = _send_stream if request.get("stream") is True else _send_whole
                    await send(reply, request, connection)
                case _:
                    assert_never(reply)
        except ClientLeft:
            with self._changed:
                self._abandoned += 1
                self._changed.notify_all()
            raise


async def _send_stream(reply: Spoken, request: JsonObject, connection: Connection) -> None:
    await connection.begin_stream()
    chunks = completion_chunks(reply, request)
    for chunk, pause_s in zip(chunks, _pauses_s(reply), strict=False):
        await connection.pause(pause_s)
        await connection.send_event(json.dumps(chunk))
    if isinstance(reply, Cut):
        connection.cut()
    await connection.send_event("[DONE]")
    await connection.end_stream()


async def _send_whole(reply: Spoken, request: JsonObject, connection: Connection) -> None:
    if isinstance(reply, Cut):
        connection.cut()
    if isinstance(reply, ErrorEvent):
        await connection.send_json(500, error_body(Status(500, message=reply.message)))
        return
    if isinstance(reply, Slow):
        await connection.pause(reply.first_token_s)
    await connection.send_json(200, completion(reply, request))


def _pauses_s(reply: Spoken) -> Iterator[float]:
    """Yield the wait before each chunk: the role comes at once, then the first token, then the others."""
    first_s, next_s = (reply.first_token_s, reply.per_token_s) if isinstance(reply, Slow) else (0.0, 0.0)
    return chain((0.0, first_s), repeat(next_s))


def main() -> None:
    """Serve until Ctrl-C; the first line on standard output is the base URL."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server for demos and tests.")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one (default)")
    parser.add_argument("--reply", help="answer every chat with this text; default: repeat the question")
    parser.add_argument("--first-token-s", type=float, default=0.0, help="seconds before the first word")
    parser.add_argument("--per-token-s", type=float, default=0.0, help="seconds before each further word")
    args = parser.parse_args()

    def answer(request: JsonObject) -> Reply:
        text = echo_last_user(request).text if args.reply is None else args.reply
        return Slow(args.first_token_s, args.per_token_s, text)

    with ScriptedOpenAI(port=args.port, default=answer) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
