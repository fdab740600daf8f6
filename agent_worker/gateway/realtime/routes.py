"""`/realtime/v1`: the WebSocket, and broadcasts by HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import unquote

from fastapi import APIRouter
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.realtime.broadcast import Shout
from agent_worker.gateway.realtime.frames import (
    LONGEST_FIELD_BYTES,
    MalformedFrame,
    Version,
    encode_json,
    is_text,
    parse_json,
)
from agent_worker.gateway.realtime.hub import Hub
from agent_worker.gateway.realtime.joins import TOPIC_PREFIX
from agent_worker.gateway.realtime.socket import serve

PREFIX = "/realtime/v1"
MOST_MESSAGES = 1_000
"""In one request."""

CallerOf: TypeAlias = Callable[[HTTPConnection], Awaitable[Caller]]

_ACCEPTED = 202


def router(hub: Hub, *, caller_of: CallerOf) -> APIRouter:
    """Return the routes.

    Args:
        hub: What all sockets share.
        caller_of: Returns whom a request or handshake stands for, or raises GatewayError.
    """
    routes = APIRouter(prefix=PREFIX)

    @routes.websocket("/websocket")
    async def websocket(socket: WebSocket) -> None:
        try:
            version = _version(socket.query_params.get("vsn"))
            caller = await caller_of(socket)
            hub.require_room()
        except GatewayError as exc:
            refusal = JSONResponse({"error": str(exc)}, status_code=exc.status, headers=exc.headers)
            await socket.send_denial_response(refusal)
            return
        await serve(socket, hub, version=version, caller=caller)

    @routes.post("/api/broadcast", status_code=_ACCEPTED, include_in_schema=False)
    async def broadcast(request: Request) -> Response:
        caller = await caller_of(request)
        messages = _messages(await request.body(), hub.limits.broadcast_bytes)
        for message in messages:
            await _say(hub, caller, message)
        return Response(status_code=_ACCEPTED)

    @routes.post("/api/broadcast/{path:path}", status_code=_ACCEPTED, include_in_schema=False)  # noqa: FAST003 - read undecoded
    async def broadcast_one(request: Request) -> Response:
        caller = await caller_of(request)
        topic, event = _topic_and_event(request)
        is_private = request.query_params.get("private") == "true"
        shout = _shout(topic, event, await request.body(), request, hub.limits.broadcast_bytes)
        if not await _may_say(hub, caller, topic, is_private=is_private):
            raise GatewayError("Unauthorized", status=403, code="unauthorized")
        hub.say(shout, topic, is_private=is_private)
        return Response(status_code=_ACCEPTED)

    return routes


def _version(vsn: str | None) -> Version:
    try:
        return Version.V1 if vsn is None else Version(vsn)
    except ValueError:
        known = " and ".join(version.value for version in Version)
        raise GatewayError(
            f"The protocol version {vsn[:20] if vsn else ''!r} is not supported; {known} are",
            status=400,
            code="unsupported_vsn",
        ) from None


async def _say(hub: Hub, caller: Caller, message: dict[str, Any]) -> None:
    """Send one message of a batch. One that is not allowed is left out without a word, as upstream does."""
    topic, is_private = message["topic"], message.get("private") is True
    if await _may_say(hub, caller, topic, is_private=is_private):
        payload_json = encode_json(message["payload"])
        shout = Shout(TOPIC_PREFIX + topic, message["event"], payload_json=payload_json)
        hub.say(shout, topic, is_private=is_private)


async def _may_say(hub: Hub, caller: Caller, topic: str, *, is_private: bool) -> bool:
    return not is_private or await hub.topics.may_write(topic, "broadcast", caller)


def _messages(body: bytes, largest_bytes: int) -> list[dict[str, Any]]:
    messages = _json(body)
    messages = messages.get("messages") if isinstance(messages, dict) else None
    if not isinstance(messages, list) or not messages or len(messages) > MOST_MESSAGES:
        raise _unprocessable(f"messages must be an array of 1 to {MOST_MESSAGES}")
    for message in messages:
        if not isinstance(message, dict):
            raise _unprocessable("each message must be an object")
        for name in ("topic", "event"):
            if not _is_name(message.get(name)):
                raise _unprocessable(f"each message needs {name}, a string that is not blank")
        if message.get("payload") is None:
            raise _unprocessable("each message needs a payload")
        if len(encode_json(message["payload"])) > largest_bytes:
            raise _too_large(largest_bytes)
    return messages


def _shout(topic: str, event: str, body: bytes, request: Request, largest_bytes: int) -> Shout:
    if len(body) > largest_bytes:
        raise _too_large(largest_bytes)
    if request.headers.get("content-type", "").partition(";")[0].strip() == "application/octet-stream":
        if max(len((TOPIC_PREFIX + topic).encode()), len(event.encode())) > LONGEST_FIELD_BYTES:
            raise _unprocessable(
                f"topic and event take at most {LONGEST_FIELD_BYTES} bytes with a binary payload"
            )
        return Shout(TOPIC_PREFIX + topic, event, payload_json=None, body=body)
    payload = _json(body)
    if payload is None:
        raise _unprocessable("payload can't be blank")
    return Shout(TOPIC_PREFIX + topic, event, payload_json=encode_json(payload))


def _topic_and_event(request: Request) -> tuple[str, str]:
    """Read `{topic}/events/{event}` before it is decoded, for a topic may hold an encoded slash."""
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    match path.partition("/api/broadcast/")[2].split("/"):
        case [topic, "events", event]:
            topic, event = unquote(topic), unquote(event)
        case _:
            raise GatewayError("no Route matched with those values", status=404, code="no_route")
    if not _is_name(topic) or not _is_name(event):
        raise _unprocessable("topic and event can't be blank")
    return topic, event


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and is_text(value)


def _json(body: bytes) -> Any:
    try:
        return parse_json(body.decode())
    except (UnicodeDecodeError, MalformedFrame) as exc:
        raise GatewayError("Could not parse request body as JSON", status=400, code="bad_json") from exc


def _unprocessable(sentence: str) -> GatewayError:
    return GatewayError(sentence, status=422, code="validation_failed")


def _too_large(largest_bytes: int) -> GatewayError:
    return GatewayError(
        f"Payload size exceeds the limit of {largest_bytes} bytes", status=422, code="payload_too_large"
    )
