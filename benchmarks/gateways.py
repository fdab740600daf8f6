"""`agent-worker gateway` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import cpu_s_of
from benchmarks.failure import RunFailed


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers.

    Attributes:
        url: Its address.
        publishable_key: For pages.
        secret_key: For servers.
        jwt_secret: What users' tokens are signed with.
        pid: Of its process.
    """

    url: str
    publishable_key: str
    secret_key: str
    jwt_secret: str
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time used so far, in seconds."""
        return cpu_s_of(self.pid)


@contextlib.contextmanager
def running_gateway(url: str, scratch: Path) -> Iterator[Gateway]:
    """Run a gateway over a database for the length of the block, with keys that it alone knows."""
    jwt_secret = secrets.token_urlsafe(48)
    publishable, secret = (f"sb_{kind}_{secrets.token_hex(16)}" for kind in ("publishable", "secret"))
    known = {
        "DATABASE_URL": url,
        "AGENT_WORKER_JWT_SECRET": jwt_secret,
        "AGENT_WORKER_PUBLISHABLE_KEY": publishable,
        "AGENT_WORKER_SECRET_KEY": secret,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_WORKER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "agent_worker.cli", "gateway", "--port", "0", "--json"],
        cwd=scratch,
        env={**environment, **known},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RunFailed("the gateway did not start")
        yield Gateway(json.loads(line)["url"], publishable, secret, jwt_secret, process.pid)
    finally:
        process.terminate()
        process.wait(30)
