"""Public keys of other signers: what is fetched, when, and what is believed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest

from agent_worker.domain.errors import ConfigurationError, GatewayError
from agent_worker.domain.loopback import is_loopback
from agent_worker.security.jwks import LARGEST_SET_BYTES, PublicKeys
from agent_worker.security.tokens import TokenVerifier
from tests.gateway.security.signing import ALGORITHMS, JWT_SECRET, claims, public_jwk, token


@dataclass
class Signer:
    """A real HTTP server that publishes keys."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    body: bytes | None = None
    status: int = 200
    asked: int = 0
    url: str = ""
    is_silent: bool = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if self.is_silent:
            await reader.read()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def signer() -> AsyncIterator[Signer]:
    made = Signer([public_jwk(name, kid=name.lower()) for name in ALGORITHMS])
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
        yield made


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as opened:
        yield opened


Verifier = Callable[..., TokenVerifier]


@pytest.fixture
def verifier(signer: Signer, client: httpx.AsyncClient) -> Verifier:
    def make(**more: Any) -> TokenVerifier:
        return TokenVerifier(public_keys=PublicKeys(signer.url, client=client, **more))

    return make


def signed(algorithm: str, *, kid: str | None) -> str:
    key, _ = ALGORITHMS[algorithm]
    return jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid} if kid else None)


async def refused(verifier: TokenVerifier, text: str) -> tuple[int, str]:
    with pytest.raises(GatewayError) as caught:
        await verifier.verify(text)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_tokens_of_each_algorithm_are_believed_after_one_fetch(
    verifier: Verifier, signer: Signer, algorithm: str
) -> None:
    tokens = verifier()

    for kid in (algorithm.lower(), algorithm.lower(), None):
        assert (await tokens.verify(signed(algorithm, kid=kid))).role == "authenticated"

    assert signer.asked == 1


async def test_a_crowd_at_the_start_asks_once(verifier: Verifier, signer: Signer) -> None:
    tokens = verifier()

    await asyncio.gather(*(tokens.verify(signed("ES256", kid="es256")) for _ in range(20)))

    assert signer.asked == 1


async def test_a_new_key_is_found_and_a_flood_of_unknown_ones_asks_once_in_a_while(
    verifier: Verifier, signer: Signer
) -> None:
    clock = Clock()
    tokens = verifier(fetch_again_s=10.0, monotonic=clock)
    await tokens.verify(signed("RS256", kid="rs256"))
    for number in range(50):
        assert await refused(tokens, signed("RS256", kid=f"made-up-{number}")) == (401, "PGRST301")
    assert signer.asked == 1, "the last fetch was a moment ago"

    signer.keys.append(public_jwk("RS256", kid="rotated"))
    clock.now += 11
    assert (await tokens.verify(signed("RS256", kid="rotated"))).role == "authenticated"
    assert signer.asked == 2


async def test_a_withdrawn_key_is_believed_no_longer_than_the_set_is_kept(
    verifier: Verifier, signer: Signer
) -> None:
    clock = Clock()
    tokens = verifier(keep_s=600.0, monotonic=clock)
    await tokens.verify(signed("RS256", kid="rs256"))
    signer.keys = [public_jwk("ES256", kid="es256")]

    clock.now += 601

    assert await refused(tokens, signed("RS256", kid="rs256")) == (401, "PGRST301")


async def test_a_signer_that_is_away_locks_nobody_out(verifier: Verifier, signer: Signer) -> None:
    clock = Clock()
    tokens = verifier(monotonic=clock)
    await tokens.verify(signed("RS256", kid="rs256"))
    signer.status = 500

    clock.now += 10_000

    await tokens.verify(signed("RS256", kid="rs256"))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"keys": {}}', b"[" * 100_000, b'{"keys": []}' + b" " * LARGEST_SET_BYTES]
)
async def test_without_any_set_the_answer_is_503_and_not_a_blame(
    verifier: Verifier, signer: Signer, body: bytes
) -> None:
    signer.body = body

    assert await refused(verifier(), signed("RS256", kid="rs256")) == (503, "jwks_unavailable")


async def test_nobody_listening_is_503(client: httpx.AsyncClient) -> None:
    tokens = TokenVerifier(public_keys=PublicKeys("http://127.0.0.1:1/jwks", client=client))

    assert await refused(tokens, signed("RS256", kid="rs256")) == (503, "jwks_unavailable")


async def test_keys_that_serve_something_else_are_passed_over(verifier: Verifier, signer: Signer) -> None:
    secret = {
        "kty": "oct",
        "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA",
        "kid": "shared",
        "alg": "HS256",
    }
    encryption = {**public_jwk("RS256", kid="enc"), "use": "enc"}
    wrong = {**public_jwk("RS256", kid="wrong"), "alg": "ES256"}
    signer.keys = [secret, encryption, wrong, {"kty": "RSA"}, 5, {}, *signer.keys]  # type: ignore[list-item]
    tokens = verifier()

    await tokens.verify(signed("RS256", kid="rs256"))
    assert await refused(tokens, signed("RS256", kid="enc")) == (401, "PGRST301")
    assert await refused(tokens, signed("RS256", kid="wrong")) == (401, "PGRST301")
    forged = token(secret="secret-secret-secret-secret-secret", head={"kid": "shared"}, role="service_role")
    assert await refused(tokens, forged) == (401, "PGRST301")


async def test_a_key_serves_only_the_algorithm_of_its_type(verifier: Verifier) -> None:
    assert await refused(verifier(), signed("RS256", kid="es256")) == (401, "PGRST301")


async def test_shared_secret_and_public_keys_serve_side_by_side(
    signer: Signer, client: httpx.AsyncClient
) -> None:
    tokens = TokenVerifier(jwt_secret=JWT_SECRET, public_keys=PublicKeys(signer.url, client=client))

    assert (await tokens.verify(token())).role == "authenticated"
    assert signer.asked == 0
    assert (await tokens.verify(signed("EdDSA", kid="eddsa"))).role == "authenticated"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/jwks",
        "ftp://127.0.0.1/x",
        "",
        "file:///etc/passwd",
        "http://127.0.0.1.example.com/",
    ],
)
async def test_keys_over_plain_http_from_elsewhere_are_refused(client: httpx.AsyncClient, url: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_WORKER_JWKS_URL"):
        PublicKeys(url, client=client)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),  # noqa: S104 - a text to judge
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_is_this_machine_and_no_name_that_looks_like_it(host: str | None, expected: bool) -> None:
    assert is_loopback(host) is expected
