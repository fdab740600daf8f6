"""Read each definition once, however many runs bring it along."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from agent_worker.domain.json import JsonValue, dump_json
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.reading.source import Source
from agent_worker.pipelines.reading.wire import read_wire
from agent_worker.pipelines.validation import load


@dataclass(frozen=True, slots=True)
class _Reading:
    definition: Definition
    size: int


class Readings:
    """Valid definitions by the texts that they are made of; those read last are kept.

    Args:
        most: How many are kept.
        most_characters: How much text they may be made of in all; what is made of it takes about ten times that.
    """

    def __init__(self, most: int = 64, most_characters: int = 4 * 1024 * 1024) -> None:
        self._most = most
        self._most_characters = most_characters
        self._kept: OrderedDict[bytes, _Reading] = OrderedDict()
        self._characters = 0
        # Reading is work for one core: who starts many runs at once waits for one reading instead of doing many.
        self._turn = asyncio.Lock()

    async def read(self, content: JsonValue, *, path: str) -> Definition:
        """Return the definition that a wire form holds.

        Args:
            content: `{settings, protocol, prompts, references}`.
            path: Where it stands in a payload, for the message.

        Raises:
            InvalidPayload: It is not valid; names the first error and how many there are.
        """
        source = read_wire(content)
        digest, size = _digest(source)
        if (kept := self._recall(digest)) is not None:
            return kept
        async with self._turn:
            if (kept := self._recall(digest)) is not None:
                return kept
            definition = await asyncio.to_thread(load, source, path=path)
            self._keep(digest, _Reading(definition, size))
        return definition

    def _recall(self, digest: bytes) -> Definition | None:
        reading = self._kept.get(digest)
        if reading is None:
            return None
        self._kept.move_to_end(digest)
        return reading.definition

    def _keep(self, digest: bytes, reading: _Reading) -> None:
        if reading.size > self._most_characters:
            return
        self._kept[digest] = reading
        self._characters += reading.size
        while len(self._kept) > self._most or self._characters > self._most_characters:
            _, oldest = self._kept.popitem(last=False)
            self._characters -= oldest.size


def _digest(source: Source) -> tuple[bytes, int]:
    """Return what tells a source from all others, and how long its texts are."""
    digest, size = hashlib.sha256(), 0
    for text in _texts(source):
        digest.update(b"%d:" % len(text))
        digest.update(text.encode("utf-8", "surrogatepass"))
        size += len(text)
    return digest.digest(), size


def _texts(source: Source) -> Iterator[str]:
    yield dump_json(source.settings)
    yield dump_json([problem.message for problem in source.problems])
    yield source.protocol or ""
    yield str(len(source.prompts))
    for name, content in source.prompts.items():
        yield from (name, content)
    for name, reference in source.references.items():
        yield from (name, dump_json(reference.description), reference.content)
