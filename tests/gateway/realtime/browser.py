"""supabase-js in a Node.js of its own, told what to do line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.node import beside

SCRIPT = Path(__file__).parents[1] / "js" / "realtime.mjs"
PATIENCE_S = 60.0


class SupabaseJs:
    """One process with one client.

    Args:
        process: The script, its standard input and output piped.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.seen: list[dict[str, Any]] = []

    async def do(self, act: str, **arguments: Any) -> None:
        """Give a command; see the script."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": act, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()

    async def event(self, event: str, **facts: Any) -> dict[str, Any]:
        """Return the next thing of this kind with these facts; what comes before is kept in `seen`."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while line := await self._process.stdout.readline():
                    told: dict[str, Any] = json.loads(line)
                    self.seen.append(told)
                    if told["event"] == event and facts.items() <= told.items():
                        return told
        except TimeoutError:
            pass
        raise AssertionError(f"no {event} {facts}; heard {self.seen}")

    async def subscribe(self, name: str, **options: Any) -> None:
        """Subscribe, and return once that holds."""
        await self.do("subscribe", name=name, **options)
        await self.event("status", name=name, status="SUBSCRIBED")


@contextlib.asynccontextmanager
async def supabase_js(
    node_modules: Path, url: str, key: str, *, client: str, vsn: str = "", third_party: bool = False
) -> AsyncIterator[SupabaseJs]:
    """Start a client against a gateway.

    Args:
        node_modules: Where the packages are.
        url: The gateway's.
        key: API key.
        client: Package to import, such as `supabase-js-2.119`.
        vsn: Version of the protocol; empty for the client's own choice.
        third_party: Whether tokens come from an `accessToken` callback instead of a session.
    """
    script = beside(node_modules, SCRIPT)
    env = {"URL": url, "KEY": key, "CLIENT": client, "VSN": vsn, "THIRD_PARTY": "1" if third_party else ""}
    process = await asyncio.create_subprocess_exec(
        str(node_modules / ".bin" / "node"),
        str(script),
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    try:
        js = SupabaseJs(process)
        await js.event("ready")
        yield js
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
