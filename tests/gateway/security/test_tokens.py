"""Which tokens are believed, and how the others are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from agent_worker.domain.errors import ConfigurationError, GatewayError
from agent_worker.security.tokens import CLOCK_SKEW_S, TokenIssuer, TokenVerifier
from tests.gateway.security.signing import JWT_SECRET, OTHER_SECRET, RSA, SECRET, claims, public_pem, token

VERIFIER = TokenVerifier(jwt_secret=JWT_SECRET)


async def refusal(text: str, verifier: TokenVerifier = VERIFIER) -> tuple[int, str, str]:
    with pytest.raises(GatewayError) as caught:
        await verifier.verify(text)
    return caught.value.status, caught.value.code, str(caught.value)


def raw(head: object, payload: object, *, key: bytes = SECRET.encode()) -> str:
    """A token of any head and payload, rightly signed by HS256 whatever the head says."""

    def part(value: object) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{part(head)}.{part(payload)}"
    digest = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(digest)}"


async def test_a_good_token_is_its_role_claims_and_end() -> None:
    wanted = claims(app_metadata={"enterprise_id": "acme"})

    caller = await VERIFIER.verify(jwt.encode(wanted, SECRET, algorithm="HS256"))

    assert (caller.role, caller.claims, caller.expires_at) == ("authenticated", wanted, wanted["exp"])
    assert str(caller.user_id) == wanted["sub"]


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_the_three_roles_are_taken(role: str) -> None:
    assert (await VERIFIER.verify(token(role=role))).role == role


@pytest.mark.parametrize(
    "role", ["postgres", "authenticator", "supabase_admin", "", 'anon"; drop table x; --', "Anon"]
)
async def test_no_other_role_is_taken_even_from_the_right_signer(role: str) -> None:
    status, code, message = await refusal(token(role=role))

    assert (status, code) == (401, "22023")
    assert message.count('"') == 2


async def test_an_expired_token_is_refused_in_postgrests_words() -> None:
    with pytest.raises(GatewayError) as caught:
        await VERIFIER.verify(token(exp=int(time.time()) - 60))

    assert (caught.value.status, caught.value.code, str(caught.value)) == (401, "PGRST303", "JWT expired")
    assert caught.value.headers == {
        "WWW-Authenticate": 'Bearer error="invalid_token", error_description="JWT expired"'
    }


async def test_clocks_may_differ_by_as_much_as_postgrest_allows() -> None:
    now = 1_800_000_000.0
    verifier = TokenVerifier(jwt_secret=JWT_SECRET, now=lambda: now)

    for skew in (CLOCK_SKEW_S - 1, -CLOCK_SKEW_S + 1):
        times = {
            "exp": int(now - skew) if skew > 0 else int(now) + 10,
            "iat": int(now - skew),
            "nbf": int(now - skew),
        }
        await verifier.verify(token(**times))
    assert await refusal(token(exp=int(now - CLOCK_SKEW_S)), verifier) == (401, "PGRST303", "JWT expired")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"nbf": 4_000_000_000}, "JWT not yet valid"),
        ({"iat": 4_000_000_000}, "JWT issued at future"),
        ({"aud": "somebody-else"}, "JWT not in audience"),
        ({"aud": ["a", "b"]}, "JWT not in audience"),
        ({"aud": {"authenticated": True}}, "JWT not in audience"),
        ({"role": None}, "JWT has no claim role"),
        ({"role": 5}, "JWT has no claim role"),
        ({"role": ["service_role"]}, "JWT has no claim role"),
        ({"exp": None}, "JWT has no claim exp, and one without an end is not taken"),
        ({"exp": "4000000000"}, "JWT claim exp is no time"),
        ({"exp": True}, "JWT claim exp is no time"),
        ({"exp": float("inf")}, "JWT claim exp is no time"),
        ({"exp": float("nan")}, "JWT claim exp is no time"),
        ({"exp": 10**400}, "JWT claim exp is no time"),
        ({"nbf": []}, "JWT claim nbf is no time"),
    ],
)
async def test_claims_that_do_not_hold_are_refused(more: dict[str, Any], message: str) -> None:
    assert await refusal(token(**more)) == (401, "PGRST303", message)


@pytest.mark.parametrize("audience", [None, "authenticated", ["other", "authenticated"]])
async def test_keys_of_the_older_kind_have_no_audience_and_others_name_it(audience: object) -> None:
    await VERIFIER.verify(token(aud=audience))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", None, 5, "HS384", "HS512", "RS256", "ES256", "EdDSA"]
)
async def test_no_algorithm_but_the_configured_one_is_tried(algorithm: object) -> None:
    status, code, _ = await refusal(raw({"alg": algorithm, "typ": "JWT"}, claims(role="service_role")))

    assert (status, code) == (401, "PGRST301")


async def test_an_unsigned_token_is_refused() -> None:
    unsigned = jwt.encode(claims(role="service_role"), None, algorithm="none")

    assert (await refusal(unsigned))[:2] == (401, "PGRST301")
    assert (await refusal(unsigned + "x"))[:2] == (401, "PGRST301")


async def test_a_public_key_is_no_shared_secret() -> None:
    """RFC 8725 §2.1: whoever takes the head's word for it believes a token signed with a text that everybody knows."""
    forged = raw({"alg": "HS256", "typ": "JWT"}, claims(role="service_role"), key=public_pem())

    assert (await refusal(forged))[:2] == (401, "PGRST301")
    with pytest.raises(ConfigurationError):
        TokenVerifier(jwt_secret=SecretStr(public_pem().decode()))


async def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()))
    for head in (
        {"jwk": key},
        {"jku": "http://127.0.0.1:1/jwks"},
        {"x5u": "http://127.0.0.1:1/x"},
        {"kid": "../../dev/null"},
    ):
        forged = jwt.encode(claims(role="service_role"), RSA, algorithm="RS256", headers=head)
        assert (await refusal(forged))[:2] == (401, "PGRST301")


async def test_another_signers_token_is_refused() -> None:
    assert await refusal(token(secret=OTHER_SECRET)) == (
        401,
        "PGRST301",
        "JWT cryptographic operation failed",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Empty JWT is sent in Authorization header"),
        ("abc", "Expected 3 parts in JWT; got 1"),
        ("a.b", "Expected 3 parts in JWT; got 2"),
        ("a.b.c.d", "Expected 3 parts in JWT; got 4"),
        ("a.b.c", "JWT cannot be decoded"),
        ("x" * 20_000 + ".b.c", "JWT is longer than 16384 characters"),
    ],
)
async def test_what_is_no_token_is_told_in_postgrests_words(text: str, message: str) -> None:
    assert await refusal(text) == (401, "PGRST301", message)


@pytest.mark.parametrize(
    "payload", [b"[]", b"5", b"null", b"{", b"\xff\xfe", b"[" * 6_000, b'{"exp": 1e999}']
)
async def test_a_signed_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert (await refusal(raw({"alg": "HS256"}, payload)))[0] == 401


@pytest.mark.parametrize(
    "head", [b"[]", b"null", b"{", b"[" * 6_000, b'{"alg": {}}', b'{"alg": "HS256", "crit": ["x"], "x": 1}']
)
async def test_a_head_that_is_no_object_is_refused(head: bytes) -> None:
    assert (await refusal(raw(head, claims())))[:2] == (401, "PGRST301")


@given(st.text(max_size=300))
async def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    assert (await refusal(text))[0] == 401


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "b64", "role", "exp", "nbf", "iat", "aud", "sub", "jti", "iss"]
)


@given(
    st.dictionaries(NAMES, JSON | st.sampled_from(["HS256", "none", "RS256"])),
    st.dictionaries(NAMES, JSON | st.sampled_from(["service_role", "authenticated", 4_000_000_000])),
)
async def test_no_signed_token_does_more_than_pass_or_be_refused(
    head: dict[str, Any], payload: dict[str, Any]
) -> None:
    async def outcome() -> tuple[int, str]:
        try:
            caller = await VERIFIER.verify(raw(head, payload))
        except GatewayError as error:
            return error.status, "refused"
        return 200, caller.role

    assert await outcome() in {(401, "refused"), (200, "anon"), (200, "authenticated"), (200, "service_role")}


async def test_an_issued_token_is_believed_and_ends_when_it_says() -> None:
    issuer = TokenIssuer(JWT_SECRET, lifetime_s=60)
    user_id = (await VERIFIER.verify(token())).user_id
    assert user_id is not None

    text, expires_at = issuer.issue(user_id, claims={"role": "service_role", "exp": 0, "email": "a@b.c"})
    caller = await VERIFIER.verify(text)

    assert (caller.role, caller.user_id, caller.expires_at) == ("authenticated", user_id, expires_at)
    assert caller.claims["email"] == "a@b.c"
    assert SECRET not in repr(issuer)


def test_a_verifier_without_any_key_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="AGENT_WORKER_JWT_SECRET or AGENT_WORKER_JWKS_URL"):
        TokenVerifier()
