"""What travels over a socket: Phoenix messages in protocol version 1.0.0 or 2.0.0.

Version 1 writes objects, version 2 arrays `[join_ref, ref, topic, event, payload]`. Version 2 has binary frames besides,
for broadcasts alone: kind 3 from a client, kind 4 to it (realtime-js, `lib/serializer.ts`).

Everything that leaves is put together from JSON text, so that a payload is encoded once however many sockets get it.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.json import JsonValue

LARGEST_FRAME_BYTES = 5_000_000
"""What upstream's endpoint takes; the server closes with 1009 above it."""

LONGEST_FIELD_BYTES = 255
"""Each field in the head of a binary frame has one byte for its length."""

Ref: TypeAlias = "str | int | None"


class Version(enum.Enum):
    """A version of the protocol, as the query parameter `vsn` says it; version 1 where it is absent."""

    V1 = "1.0.0"
    V2 = "2.0.0"


class MalformedFrame(AgentWorkerError):
    """A frame cannot be read. The socket stays open: nothing in it could be answered."""


@dataclass(frozen=True, slots=True)
class UserBroadcast:
    """A broadcast that came in a binary frame.

    Attributes:
        event: The user's own name for it.
        body: What was sent.
        is_json: Whether `body` is JSON text; it has been looked at.
    """

    event: str
    body: bytes
    is_json: bool


@dataclass(frozen=True, slots=True)
class Message:
    """What a client sent.

    Attributes:
        ref: The client's number for it, which a reply repeats; None wants no reply.
        join_ref: The `ref` of the join that it belongs to; None where the client does not say.
    """

    topic: str
    event: str
    payload: dict[str, Any] | UserBroadcast
    ref: Ref = None
    join_ref: Ref = None


def decode(frame: str | bytes, version: Version) -> Message:
    """Read a frame.

    Raises:
        MalformedFrame: It is not one of this version.
    """
    if isinstance(frame, str):
        return decode_text(frame, version)
    if version is Version.V1:
        raise MalformedFrame("version 1 has no binary frames")
    return decode_binary(frame)


def decode_text(text: str, version: Version) -> Message:
    """Read a text frame.

    Raises:
        MalformedFrame: It is no JSON, or not of this version's shape.
    """
    match version, parse_json(text):
        case Version.V2, [join_ref, ref, topic, event, payload, *_]:
            pass
        case Version.V1, {"topic": topic, "event": event, "payload": payload, **rest}:
            join_ref, ref = rest.get("join_ref"), rest.get("ref")
        case _:
            raise MalformedFrame(f"no message of version {version.value}")
    if not isinstance(topic, str) or not isinstance(event, str) or not isinstance(payload, dict | None):
        raise MalformedFrame("topic and event must be strings, the payload an object")
    return Message(_checked(topic), event, payload or {}, _ref(ref), _ref(join_ref))


def decode_binary(data: bytes) -> Message:
    """Read a binary frame of kind 3: kind, five lengths, encoding, five fields, payload.

    Raises:
        MalformedFrame: It is of another kind, too short, or not UTF-8 or JSON where it should be.
    """
    head = 7
    if len(data) < head or data[0] != _USER_BROADCAST_PUSH:
        raise MalformedFrame("a binary frame of a kind that clients do not send")
    *lengths, encoding = data[1:head]
    fields, at = [], head
    for length in lengths:
        fields.append(data[at : at + length])
        at += length
    if at > len(data):
        raise MalformedFrame("the frame ends within its fields")
    join_ref, ref, topic, event, _metadata = (_head_text(field) for field in fields)
    body, is_json = data[at:], encoding == _JSON
    if is_json:
        parse_json(_utf8(body))  # one bad sender must not break everybody who hears it
    payload = UserBroadcast(event, body, is_json)
    return Message(_checked(topic), "broadcast", payload, ref or None, join_ref or None)


def reply(version: Version, to: Message, status: str, response_json: str = "{}") -> str:
    """Return the answer to a message; `status` is ok or error, `response_json` an object."""
    payload = f'{{"status":"{status}","response":{response_json}}}'
    return _text(version, to.topic, "phx_reply", payload, ref=to.ref, join_ref=to.join_ref)


def push(version: Version, topic: str, event: str, payload_json: str) -> str:
    """Return a message that nobody asked for. It names no join: a client drops what names an old one."""
    return _text(version, topic, event, payload_json)


def ending(version: Version, topic: str, event: str, join_ref: Ref) -> str:
    """Return the message after which a channel is over: `phx_close` or `phx_error`."""
    return _text(version, topic, event, "{}", ref=join_ref, join_ref=join_ref)


def around(version: Version, topic: str, event: str) -> tuple[str, str]:
    """Return what stands before and after the payload of a push."""
    if version is Version.V2:
        return f"[null,null,{encode_json(topic)},{encode_json(event)},", "]"
    return f'{{"topic":{encode_json(topic)},"event":{encode_json(event)},"payload":', ',"ref":null}'


def user_broadcast(topic: str, event: str, body: bytes, *, is_json: bool) -> bytes | None:
    """Return a binary frame of kind 4, or None when a name is too long for its head."""
    names = (topic.encode(), event.encode())
    if any(len(name) > LONGEST_FIELD_BYTES for name in names):
        return None
    lengths = bytes((_USER_BROADCAST, len(names[0]), len(names[1]), 0, _JSON if is_json else _BINARY))
    return b"".join((lengths, *names, body))


def encode_json(value: JsonValue) -> str:
    """Write JSON text without blanks, in ASCII, so that lone surrogates of a client survive.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    return _encode(value)


def parse_json(text: str) -> Any:
    """Read JSON text, and nothing that only Python takes for it.

    Raises:
        MalformedFrame: It is none, or nested too deeply, or a number does not fit.
    """
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedFrame("no JSON") from exc


def _text(
    version: Version, topic: str, event: str, payload: str, *, ref: Ref = None, join_ref: Ref = None
) -> str:
    head = f"{encode_json(topic)}", encode_json(event)
    if version is Version.V2:
        return f"[{encode_json(join_ref)},{encode_json(ref)},{head[0]},{head[1]},{payload}]"
    # Clients in Python insist on a ref, null or not.
    return f'{{"topic":{head[0]},"event":{head[1]},"payload":{payload},"ref":{encode_json(ref)}}}'


def _ref(value: object) -> Ref:
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise MalformedFrame("a ref must be a string")


def _checked(topic: str) -> str:
    """Return a topic that PostgreSQL and a binary frame can hold."""
    if not is_text(topic):
        raise MalformedFrame("a topic must be Unicode without NUL")
    return topic


def is_text(text: str) -> bool:
    """Whether a string can be stored and sent: no NUL, no lone surrogates."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def narrowed(text: str) -> str:
    """Return what realtime-js up to 2.109 makes of a name in a binary frame: the low byte of each letter.

    Letters beyond U+FFFF shift all that follows besides; such a frame cannot be read.
    """
    return bytes(ord(char) & 0xFF for char in text).decode("latin-1")


def _head_text(data: bytes) -> str:
    """Read a name in the head of a binary frame, as UTF-8 or as older clients write it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise MalformedFrame("no UTF-8") from exc


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)

_USER_BROADCAST_PUSH = 3
_USER_BROADCAST = 4
_BINARY = 0
_JSON = 1
