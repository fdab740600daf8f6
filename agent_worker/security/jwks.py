"""The public keys that other signers publish (RFC 7517), fetched once and again when a key is unknown."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from agent_worker.domain.errors import ConfigurationError, GatewayError
from agent_worker.domain.loopback import is_loopback

logger = structlog.get_logger(__name__)

FETCH_TIMEOUT_S = 5.0
LARGEST_SET_BYTES = 256 * 1024
MOST_KEYS = 100

_TYPES: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {"RS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
)
"""Algorithm → type and curve of its keys (RFC 7518 §3.1, RFC 8037 §3.1). A symmetric key is never taken from a URL."""

_Keys: TypeAlias = tuple[tuple[str | None, str, Any], ...]
"""Key id, algorithm, key."""


class PublicKeys:
    """The set of keys behind one address.

    Args:
        url: HTTPS; plain HTTP only on this machine.
        fetch_again_s: Least seconds between two fetches: a flood of tokens with made-up key ids asks once.
        keep_s: Seconds after which a key that was withdrawn is no longer believed; a set that cannot be fetched then
            is kept, for a signer that is away must not lock everybody out.
        client: HTTP client to use; its owner closes it.

    Raises:
        ConfigurationError: The address is no HTTPS URL.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.AsyncClient,
        fetch_again_s: float = 10.0,
        keep_s: float = 600.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ConfigurationError(
                "AGENT_WORKER_JWKS_URL is not trustworthy · keys that come over plain HTTP may be anybody's · use https://"
            )
        self._url = url
        self._client = client
        self._fetch_again_s = fetch_again_s
        self._keep_s = keep_s
        self._monotonic = monotonic
        self._keys: _Keys = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, algorithm: str, key_id: str | None) -> Any | None:
        """Return the key for a token's head; None when nobody publishes one that fits.

        A token without a key id is checked with the only key of its algorithm; among several nobody guesses.

        Raises:
            GatewayError: 503, no set of keys could ever be fetched.
        """
        if algorithm not in _TYPES:
            return None
        if self._monotonic() - self._fetched_at >= self._keep_s:
            await self._fetch()
        found = self._match(algorithm, key_id)
        if found is None:
            await self._fetch()
            found = self._match(algorithm, key_id)
        return found

    def _match(self, algorithm: str, key_id: str | None) -> Any | None:
        fitting = [key for name, known, key in self._keys if known == algorithm and key_id in (None, name)]
        return fitting[0] if len(fitting) == 1 else None

    async def _fetch(self) -> None:
        """Ask the signer, unless somebody did a moment ago."""
        seen = self._tried_at
        async with self._fetching:
            if self._tried_at == seen and self._monotonic() - self._tried_at >= self._fetch_again_s:
                self._tried_at = self._monotonic()
                try:
                    self._keys = _parse(await self._download())
                    self._fetched_at = self._monotonic()
                except (httpx.HTTPError, ValueError, TimeoutError, RecursionError) as exc:
                    logger.warning("jwks.not_fetched", error=f"{type(exc).__name__}: {exc}"[:200])
        if self._fetched_at == float("-inf"):
            raise GatewayError(
                "The keys that tokens are signed with cannot be fetched",
                status=503,
                code="jwks_unavailable",
                headers={"Retry-After": "5"},
            )

    async def _download(self) -> bytes:
        async with (
            asyncio.timeout(FETCH_TIMEOUT_S),
            self._client.stream("GET", self._url, follow_redirects=False) as reply,
        ):
            if reply.status_code != httpx.codes.OK:
                raise ValueError(f"HTTP {reply.status_code}")
            body = b""
            async for chunk in reply.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_SET_BYTES:
                    raise ValueError(f"more than {LARGEST_SET_BYTES} bytes")
            return body


def _parse(body: bytes) -> _Keys:
    """Read a set; keys that nobody here can use are passed over, as RFC 7517 §5 says."""
    document = json.loads(body)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no list of keys")  # noqa: TRY004 - the document's mistake, not the program's
    found = []
    for entry in listed[:MOST_KEYS]:
        algorithm = _algorithm(entry) if isinstance(entry, dict) else None
        if algorithm is None:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        key_id = entry.get("kid")
        found.append((key_id if isinstance(key_id, str) else None, algorithm, key))
    return tuple(found)


def _algorithm(entry: Mapping[str, object]) -> str | None:
    """Return what a key serves by its own type; None for another use, a symmetric or a private key."""
    if entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    for algorithm, (kind, curve) in _TYPES.items():
        fits = entry.get("kty") == kind and (curve is None or entry.get("crv") == curve)
        if fits and entry.get("alg", algorithm) == algorithm:
            return algorithm
    return None
