"""Read the pictures that a request names by their addresses, without lending anybody the worker's place in its network."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import socket
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import httpx

from agent_worker.domain.errors import ProcessorError, UpstreamError, is_transient_status

MAX_REFERENCE_BYTES = 20 * 1024 * 1024
TIMEOUT_S = 30.0

_PROVIDER = "reference image"
_KINDS = ("image/png", "image/jpeg", "image/webp", "image/gif")


async def fetch(address: str, *, trusted: str) -> tuple[bytes, str]:
    """Return a picture's bytes and media type.

    An `http` or `https` address is asked only when all that its name stands for is public, and exactly there, so that
    nobody can have the worker ask its own network; redirects are not followed.

    Args:
        address: `data:`, `http:` or `https:`.
        trusted: The provider's address; pictures of the same scheme, host and port are asked for wherever it is.

    Raises:
        ProcessorError: It names no picture that may be read (code `invalid_setting`).
        UpstreamError: Its server refused or broke.
    """
    if address.startswith("data:"):
        return _decoded(address)
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _wrong("its address is neither data: nor http(s):")
    is_trusted = _origin(parts) == _origin(urlsplit(trusted))
    target = parts.hostname if is_trusted else await _public_address(parts)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _get(parts, target)
    except (httpx.HTTPError, TimeoutError) as error:
        raise UpstreamError("A reference image could not be fetched.", provider=_PROVIDER) from error


def _decoded(address: str) -> tuple[bytes, str]:
    head, comma, body = address.partition(",")
    kind, _, rest = head.removeprefix("data:").partition(";")
    try:
        data = base64.b64decode(body, validate=True) if rest.endswith("base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise _wrong("its data: address cannot be read") from error
    if not comma:
        raise _wrong("its data: address cannot be read")
    return _checked(data, kind)


async def _public_address(parts: SplitResult) -> str:
    """Return one address of a name, all of whose addresses are public."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UpstreamError("The host of a reference image is not known.", provider=_PROVIDER) from error
    addresses = [str(each[4][0]) for each in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise _wrong("its address is not public")
    return addresses[0]


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_global and not found.is_multicast


async def _get(parts: SplitResult, target: str) -> tuple[bytes, str]:
    """Ask the host at an address that was looked up before, so that its name cannot change its meaning meanwhile."""
    url = httpx.URL(parts.geturl()).copy_with(host=target, userinfo=b"")
    host = parts.netloc.rpartition("@")[2]
    async with (
        httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client,
        client.stream(
            "GET", url, headers={"host": host}, extensions={"sni_hostname": parts.hostname or ""}
        ) as response,
    ):
        if not response.is_success:
            raise _refused(response.status_code)
        data = bytearray()
        async for piece in response.aiter_bytes():
            data += piece
            if len(data) > MAX_REFERENCE_BYTES:
                raise _wrong(f"it has more than {MAX_REFERENCE_BYTES:,} bytes")
    return _checked(bytes(data), response.headers.get("content-type", "").partition(";")[0].strip())


def _checked(data: bytes, kind: str) -> tuple[bytes, str]:
    if kind not in _KINDS:
        raise _wrong("it is no PNG, JPEG, WebP or GIF")
    if len(data) > MAX_REFERENCE_BYTES:
        raise _wrong(f"it has more than {MAX_REFERENCE_BYTES:,} bytes")
    return data, kind


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port


def _refused(status: int) -> ProcessorError:
    if is_transient_status(status):
        return UpstreamError(
            f"The server of a reference image answered with HTTP {status}.", provider=_PROVIDER, status=status
        )
    return _wrong(f"its server answered with HTTP {status}")


def _wrong(reason: str) -> ProcessorError:
    return ProcessorError(
        f"A reference image cannot be used: {reason}.", code="invalid_setting", retryable=False
    )
