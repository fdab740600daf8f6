"""One broadcast, encoded at most once for each version of the protocol however many sockets hear it."""

from __future__ import annotations

from agent_worker.domain.json import JsonObject
from agent_worker.gateway.realtime.frames import (
    UserBroadcast,
    Version,
    encode_json,
    push,
    user_broadcast,
)


class Shout:
    """A broadcast on its way to everybody on a topic.

    Args:
        topic: With `realtime:`.
        event: The user's own name for it.
        payload_json: JSON text of the payload; None when it is bytes.
        body: The payload as it came in a binary frame; version 2 passes it on as it is.
        meta_json: JSON text of `meta`, for messages that have a row; it travels in text frames.
        message_id: The row's id.
    """

    __slots__ = ("_body", "_event", "_frames", "_meta_json", "_payload_json", "_topic", "message_id")

    def __init__(
        self,
        topic: str,
        event: str,
        *,
        payload_json: str | None,
        body: bytes | None = None,
        meta_json: str | None = None,
        message_id: str | None = None,
    ) -> None:
        self._topic = topic
        self._event = event
        self._payload_json = payload_json
        self._body = body
        self._meta_json = meta_json
        self._frames: dict[Version, str | bytes | None] = {}
        self.message_id = message_id

    @classmethod
    def pushed(cls, topic: str, message: UserBroadcast) -> Shout:
        """Return what a binary frame asks to be said."""
        payload_json = message.body.decode() if message.is_json else None
        return cls(topic, message.event, payload_json=payload_json, body=message.body)

    @classmethod
    def stored(
        cls, topic: str, event: str, payload_json: str, message_id: str, *, is_replayed: bool = False
    ) -> Shout:
        """Return a row of `realtime.messages`."""
        meta: JsonObject = {"id": message_id, "replayed": True} if is_replayed else {"id": message_id}
        return cls(
            topic, event, payload_json=payload_json, meta_json=encode_json(meta), message_id=message_id
        )

    def frame(self, version: Version) -> str | bytes | None:
        """Return the frame; None where this version cannot say it: bytes in version 1."""
        if version not in self._frames:
            self._frames[version] = self._encode(version)
        return self._frames[version]

    def _encode(self, version: Version) -> str | bytes | None:
        if version is Version.V2 and self._body is not None:
            return user_broadcast(
                self._topic, self._event, self._body, is_json=self._payload_json is not None
            )
        if self._payload_json is None:
            return None
        meta = "" if self._meta_json is None else f',"meta":{self._meta_json}'
        event = encode_json(self._event)
        payload = f'{{"type":"broadcast","event":{event},"payload":{self._payload_json}{meta}}}'
        return push(version, self._topic, "broadcast", payload)
