"""Who comes in with which key and token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain.errors import GatewayError
from agent_worker.security.door import Door
from agent_worker.security.keys import ApiKeys
from agent_worker.security.tokens import TokenVerifier
from tests.gateway.security.signing import JWT_SECRET, OTHER_SECRET, token

KEYS = ApiKeys.generate()
PUBLISHABLE, SECRET = KEYS.publishable.get_secret_value(), KEYS.secret.get_secret_value()
DOOR = Door(KEYS, TokenVerifier(jwt_secret=JWT_SECRET))
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


async def refusal(apikey: str | None, bearer: str | None = None, user_agent: str = "node") -> tuple[int, str]:
    with pytest.raises(GatewayError) as caught:
        await DOOR.admit(apikey=apikey, bearer=bearer, user_agent=user_agent)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    ("key", "role"), [(PUBLISHABLE, "anon"), (SECRET, "service_role")], ids=["publishable", "secret"]
)
@pytest.mark.parametrize("repeats", [True, False])
async def test_a_key_alone_or_twice_is_its_role_without_an_end(key: str, role: str, repeats: bool) -> None:
    caller = await DOOR.admit(apikey=key, bearer=key if repeats else None)

    assert (caller.role, caller.claims, caller.expires_at, caller.user_id) == (
        role,
        {"role": role},
        None,
        None,
    )


@pytest.mark.parametrize("key", [PUBLISHABLE, SECRET], ids=["publishable", "secret"])
async def test_a_session_wins_over_the_key_it_comes_with(key: str) -> None:
    caller = await DOOR.admit(apikey=key, bearer=token())

    assert caller.role == "authenticated"
    assert caller.user_id is not None


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_keys_of_the_older_kind_are_tokens_of_the_same_signer(role: str) -> None:
    key = token(role=role, aud=None, iss="supabase", sub=None)

    caller = await DOOR.admit(apikey=key, bearer=key)

    assert (caller.role, caller.claims["iss"]) == (role, "supabase")
    assert caller.expires_at is not None


async def test_nobody_comes_in_without_a_key_even_with_a_good_token() -> None:
    assert await refusal(None, token()) == (401, "no_api_key")
    assert await refusal("", token()) == (401, "no_api_key")


@pytest.mark.parametrize(
    "key",
    [
        "wrong",
        "sb_publishable_wrong",
        "sb_secret_",
        SECRET + "x",
        token(),
        token(role="service_role", secret=OTHER_SECRET),
        token(role="service_role", exp=1),
        token(role="postgres"),
    ],
    ids=["text", "publishable", "prefix", "longer", "a user's token", "forged", "expired", "role"],
)
async def test_a_wrong_key_is_refused_whatever_the_token(key: str) -> None:
    assert await refusal(key) == (401, "invalid_api_key")
    assert await refusal(key, token()) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "bearer", ["", SECRET, "garbage", token(secret=OTHER_SECRET)], ids=["empty", "key", "text", "forged"]
)
async def test_a_wrong_token_is_not_replaced_by_the_key(bearer: str) -> None:
    assert await refusal(PUBLISHABLE, bearer) == (401, "PGRST301")


async def test_an_expired_session_is_told_apart() -> None:
    assert await refusal(PUBLISHABLE, token(exp=1)) == (401, "PGRST303")


async def test_the_secret_key_is_refused_in_a_browser_and_the_publishable_one_is_not() -> None:
    assert await refusal(SECRET, None, CHROME) == (401, "secret_key_in_browser")
    assert await refusal(SECRET, token(), CHROME) == (401, "secret_key_in_browser")
    assert (await DOOR.admit(apikey=PUBLISHABLE, bearer=None, user_agent=CHROME)).role == "anon"


@given(st.text(max_size=80) | st.none(), st.text(max_size=80) | st.none(), st.text(max_size=20))
async def test_nothing_made_up_comes_in(apikey: str | None, bearer: str | None, user_agent: str) -> None:
    assert (await refusal(apikey, bearer, user_agent))[0] == 401


@given(st.text(max_size=80))
async def test_no_made_up_token_comes_in_with_a_good_key(bearer: str) -> None:
    assert (await refusal(PUBLISHABLE, bearer))[0] == 401


async def test_refusals_never_repeat_what_was_sent() -> None:
    for apikey, bearer in (
        (SECRET + "x", None),
        (PUBLISHABLE, SECRET),
        (PUBLISHABLE, token(secret=OTHER_SECRET)),
    ):
        with pytest.raises(GatewayError) as caught:
            await DOOR.admit(apikey=apikey, bearer=bearer)
        told = f"{caught.value} {caught.value.hint} {caught.value.details} {caught.value.headers}"
        assert SECRET not in told
        assert bearer is None or bearer not in told
