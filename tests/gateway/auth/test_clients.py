"""The official clients sign up, in, on and out, unmodified."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from supabase import AsyncClient, create_async_client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from tests.gateway.conftest import Script
from tests.gateway.running import Api


@pytest.mark.node
@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.109", "2.119"])
async def test_supabase_js_signs_up_in_on_and_out(ask: Api, run_script: Script, version: str) -> None:
    found = await run_script(
        "auth.mjs",
        VERSION=version,
        GATEWAY_URL=ask.url,
        PUBLISHABLE_KEY=ask.publishable,
        SECRET_KEY=ask.secret,
    )

    email = f"ann.{version}@example.com"
    assert found["guest"] == [True, "dark", "bearer"]
    assert found["named"] == [True, False, f"guest.{email}", {}], (
        "an anonymous user keeps its id as a named one"
    )
    assert found["provider"] == "email"
    assert found["signUp"] == [email, "Ann", True]
    assert found["claims"] == [True, "authenticated", "authenticated", email, "aal1"]
    assert (found["refreshed"], found["user"]) == ([True, True], True)
    assert found["created"]["agent_worker"] == "operator"
    assert (found["listed"], found["updated"], found["one"]) == ([True, True], {"desk": 7}, f"op.{email}")
    assert found["signedOut"] is None
    refused = {
        name: (value["name"], value["status"], value.get("code"))
        for name, value in found.items()
        if isinstance(value, dict) and "status" in value
    }
    assert refused == {
        "again": ("AuthApiError", 422, "user_already_exists"),
        "weak": ("AuthWeakPasswordError", 422, "weak_password"),
        "wrong": ("AuthApiError", 400, "invalid_credentials"),
        "unknownToken": ("AuthApiError", 400, "refresh_token_not_found"),
        "samePassword": ("AuthApiError", 422, "same_password"),
        "deleted": ("AuthApiError", 404, "user_not_found"),
        "notAdmin": ("AuthApiError", 403, "not_admin"),
        "afterwards": ("AuthSessionMissingError", 400, None),
        "lateRefresh": ("AuthApiError", 400, "refresh_token_not_found"),
    }


@contextlib.asynccontextmanager
async def opened(url: str, key: str) -> AsyncIterator[AsyncClient]:
    made = await create_async_client(url, key)
    yield made
    await made.auth.close()
    await made.auth.admin.close()


@pytest.fixture
async def client(ask: Api) -> AsyncIterator[AsyncClient]:
    async with opened(ask.url, ask.publishable) as made:
        yield made


async def test_supabase_py_signs_up_in_on_and_out(ask: Api, client: AsyncClient) -> None:
    auth = client.auth
    credentials = {"email": "ann@example.com", "password": "correct horse"}

    up = await auth.sign_up({**credentials, "options": {"data": {"name": "Ann"}}})  # type: ignore[typeddict-item]
    signed_in = await auth.sign_in_with_password(credentials)  # type: ignore[arg-type]
    refreshed = await auth.refresh_session()
    found = await auth.get_user()
    changed = await auth.update_user({"data": {"theme": "dark"}})

    assert up.user is not None
    assert signed_in.session is not None
    assert refreshed.session is not None
    assert found is not None
    assert {up.user.id, found.user.id, changed.user.id} == {up.user.id}
    assert changed.user.user_metadata == {"name": "Ann", "theme": "dark"}
    assert refreshed.session.refresh_token != signed_in.session.refresh_token
    await auth.sign_out()
    with pytest.raises(AuthApiError) as caught:
        await auth.get_user(refreshed.session.access_token)
    assert (caught.value.status, caught.value.code) == (403, "session_not_found")


async def test_supabase_py_is_refused_in_words_it_knows(client: AsyncClient) -> None:
    with pytest.raises(AuthWeakPasswordError) as weak:
        await client.auth.sign_up({"email": "ann@example.com", "password": "short"})
    with pytest.raises(AuthApiError) as wrong:
        await client.auth.sign_in_with_password({"email": "ann@example.com", "password": "correct horse"})

    assert weak.value.reasons == ["length"]
    assert (wrong.value.status, wrong.value.code) == (400, "invalid_credentials")


async def test_supabase_py_signs_in_anonymously_and_administers(ask: Api, client: AsyncClient) -> None:
    guest = await client.auth.sign_in_anonymously()
    async with opened(ask.url, ask.secret) as server:
        admin = server.auth.admin
        made = await admin.create_user(
            {
                "email": "op@example.com",
                "password": "correct horse",
                "app_metadata": {"agent_worker": "operator"},
            }
        )
        listed = await admin.list_users()
        await admin.delete_user(made.user.id)
        with pytest.raises(AuthApiError, match="User not found"):
            await admin.get_user_by_id(made.user.id)

    assert guest.user is not None
    assert guest.user.is_anonymous
    assert made.user.app_metadata["agent_worker"] == "operator"
    assert {user.id for user in listed} == {guest.user.id, made.user.id}
