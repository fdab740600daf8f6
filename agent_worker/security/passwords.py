"""Passwords as scrypt hashes in PHC string format: `$scrypt$ln=14,r=8,p=5$salt$hash`.

The cost is OWASP's (Password Storage Cheat Sheet): 16 MiB and some 100 ms for each. Two are worked on at once, in
threads, so that a flood of sign-ins costs neither the event loop nor the memory of the machine.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets

LOG_COST, BLOCK_SIZE, PARALLEL = 14, 8, 5
AT_ONCE = 2

_MEMORY_BYTES = 64 * 1024 * 1024
_SALT_BYTES, _HASH_BYTES = 16, 32
_FORM = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


class Passwords:
    """Hashes and checks passwords, a few at once."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._nobodys = _format(secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_HASH_BYTES))

    async def hash(self, password: str) -> str:
        """Return what to store for a password."""
        async with self._slots:
            salt = secrets.token_bytes(_SALT_BYTES)
            return _format(
                salt, await asyncio.to_thread(_scrypt, password, salt, LOG_COST, BLOCK_SIZE, PARALLEL)
            )

    async def matches(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is the stored one; without a stored one it takes as long, and is False."""
        parsed = _FORM.fullmatch(stored or self._nobodys)
        if parsed is None:
            return False
        try:
            salt, expected = _decoded(parsed[4]), _decoded(parsed[5])
        except binascii.Error:
            return False
        cost, block_size, parallel = int(parsed[1]), int(parsed[2]), int(parsed[3])
        async with self._slots:
            found = await asyncio.to_thread(_scrypt, password, salt, cost, block_size, parallel)
        return hmac.compare_digest(found, expected) and stored is not None


def _scrypt(password: str, salt: bytes, log_cost: int, block_size: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="surrogatepass"),
        salt=salt,
        n=1 << log_cost,
        r=block_size,
        p=parallel,
        maxmem=_MEMORY_BYTES,
        dklen=_HASH_BYTES,
    )


def _format(salt: bytes, digest: bytes) -> str:
    return f"$scrypt$ln={LOG_COST},r={BLOCK_SIZE},p={PARALLEL}${_encoded(salt)}${_encoded(digest)}"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
