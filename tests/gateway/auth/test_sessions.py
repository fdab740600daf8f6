"""Refresh tokens are used once, and sessions end when they should."""

from __future__ import annotations

import asyncio
from typing import Any

from agent_worker.db.connection import Database
from tests.gateway.running import Api


async def refresh(ask: Api, token: str) -> tuple[int, dict[str, Any]]:
    reply = await ask("POST", "/auth/v1/token?grant_type=refresh_token", json={"refresh_token": token})
    return reply.status_code, reply.json()


async def age_uses(db: Database) -> None:
    """Let every use of a refresh token be a minute ago."""
    await db.fetch_all(
        "UPDATE auth.refresh_tokens SET revoked_at = revoked_at - interval '1 min' RETURNING id"
    )


async def test_a_refresh_token_is_replaced_at_each_use(ask: Api) -> None:
    token = (await ask.sign_up())["refresh_token"]
    seen = {token}
    for _ in range(3):
        status, session = await refresh(ask, token)
        token = session["refresh_token"]
        assert status == 200
        assert token not in seen
        seen.add(token)


async def test_a_lost_answer_can_be_asked_for_again_within_seconds(ask: Api) -> None:
    token = (await ask.sign_up())["refresh_token"]

    first, second = (await refresh(ask, token))[1], (await refresh(ask, token))[1]

    assert first["refresh_token"] != second["refresh_token"]
    for session in (first, second):
        assert (await refresh(ask, session["refresh_token"]))[0] == 200


async def test_two_tabs_at_once_both_go_on(ask: Api) -> None:
    token = (await ask.sign_up())["refresh_token"]

    answers = await asyncio.gather(*(refresh(ask, token) for _ in range(5)))

    assert [status for status, _ in answers] == [200] * 5
    assert len({session["refresh_token"] for _, session in answers}) == 5


async def test_a_stolen_token_that_comes_back_later_ends_the_session_for_both(ask: Api, db: Database) -> None:
    session = await ask.sign_up()
    owner = (await refresh(ask, session["refresh_token"]))[1]
    await age_uses(db)

    status, body = await refresh(ask, session["refresh_token"])

    assert (status, body["error_code"]) == (400, "refresh_token_already_used")
    assert (await refresh(ask, owner["refresh_token"]))[1]["error_code"] == "refresh_token_not_found"
    user = await ask("GET", "/auth/v1/user", token=owner["access_token"])
    assert (user.status_code, user.json()["error_code"]) == (403, "session_not_found")


async def test_the_table_holds_no_token_and_no_password(ask: Api, db: Database) -> None:
    session = await ask.sign_up("ann@example.com")

    rows = await db.fetch_all(
        "SELECT u::text || s::text || t::text FROM auth.users u JOIN auth.sessions s ON s.user_id = u.id "
        "JOIN auth.refresh_tokens t ON t.session_id = s.id"
    )

    assert len(rows) == 1
    for secret in ("correct horse", session["refresh_token"], session["access_token"]):
        assert secret not in rows[0][0]


async def test_sign_out_ends_this_session_the_others_or_all(ask: Api) -> None:
    first = await ask.sign_up("ann@example.com")
    body = {"email": "ANN@example.com ", "password": "correct horse"}
    others = [(await ask("POST", "/auth/v1/token?grant_type=password", json=body)).json() for _ in range(3)]

    async def out(session: dict[str, Any], scope: str) -> int:
        return (
            await ask("POST", f"/auth/v1/logout?scope={scope}", token=session["access_token"])
        ).status_code

    async def alive() -> list[bool]:
        replies = [await ask("GET", "/auth/v1/user", token=one["access_token"]) for one in (first, *others)]
        return [reply.status_code == 200 for reply in replies]

    assert await alive() == [True] * 4
    assert await out(others[0], "local") == 204
    assert await alive() == [True, False, True, True]
    assert await out(others[1], "others") == 204
    assert await alive() == [False, False, True, False]
    assert await out(others[1], "global") == 204
    assert await alive() == [False] * 4
    assert await out(others[1], "nonsense") == 400


async def test_a_new_password_ends_the_users_other_sessions(ask: Api) -> None:
    thief = await ask.sign_up("ann@example.com")
    body = {"email": "ann@example.com", "password": "correct horse"}
    owner = (await ask("POST", "/auth/v1/token?grant_type=password", json=body)).json()

    changed = await ask(
        "PUT", "/auth/v1/user", token=owner["access_token"], json={"password": "new and longer"}
    )

    assert changed.status_code == 200
    assert (await refresh(ask, thief["refresh_token"]))[0] == 400
    assert (await refresh(ask, owner["refresh_token"]))[0] == 200


async def test_a_banned_user_neither_signs_in_nor_goes_on(ask: Api) -> None:
    session = await ask.sign_up("ann@example.com")
    path = f"/auth/v1/admin/users/{session['user']['id']}"
    credentials = {"email": "ann@example.com", "password": "correct horse"}

    async def banned(duration: str) -> list[int]:
        assert (await ask("PUT", path, key=ask.secret, json={"ban_duration": duration})).status_code == 200
        signed_in = await ask("POST", "/auth/v1/token?grant_type=password", json=credentials)
        return [signed_in.status_code, (await refresh(ask, session["refresh_token"]))[0]]

    assert await banned("24h") == [403, 403]
    assert await banned("none") == [200, 200], "the token was not used up meanwhile"


async def test_a_deleted_users_session_is_gone(ask: Api) -> None:
    session = await ask.sign_up("ann@example.com")

    await ask("DELETE", f"/auth/v1/admin/users/{session['user']['id']}", key=ask.secret)

    assert (await refresh(ask, session["refresh_token"]))[0] == 400
    assert (await ask("GET", "/auth/v1/user", token=session["access_token"])).status_code == 403
    assert (
        await ask("DELETE", f"/auth/v1/admin/users/{session['user']['id']}", key=ask.secret)
    ).status_code == 404


async def test_used_tokens_are_forgotten_after_a_day(ask: Api, db: Database) -> None:
    token = (await ask.sign_up())["refresh_token"]
    for _ in range(4):
        token = (await refresh(ask, token))[1]["refresh_token"]
    await db.fetch_all(
        "UPDATE auth.refresh_tokens SET revoked_at = revoked_at - interval '2 days' RETURNING id"
    )

    await refresh(ask, token)

    assert await db.fetch_value("SELECT count(*) FROM auth.refresh_tokens") == 2
