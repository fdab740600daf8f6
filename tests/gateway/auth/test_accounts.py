"""Signing up and in: what is taken, what is refused and how, and who may see whom."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_worker.domain.errors import ConfigurationError
from agent_worker.security.tokens import TokenIssuer
from tests.gateway.running import Api, api, gateway
from tests.gateway.security.signing import JWT_SECRET, OTHER_SECRET, token

SIGN_UP = "/auth/v1/signup"
PASSWORD = "/auth/v1/token?grant_type=password"


def told(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()
    assert set(body) - {"weak_password"} == {"code", "error_code", "msg"}
    assert body["code"] == reply.status_code
    return reply.status_code, body["error_code"]


async def test_an_anonymous_user_owns_what_it_makes(ask: Api, database_url: str) -> None:
    session = await ask.sign_up()
    user = session["user"]

    assert (user["is_anonymous"], user["email"], user["app_metadata"], user["identities"]) == (
        True,
        "",
        {},
        [],
    )
    claims = token_claims(session["access_token"])
    with psycopg.connect(database_url) as conn:
        conn.execute(
            "SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
            [claims],
        )
        row = conn.execute("SELECT auth.uid()::text, auth.role(), auth.jwt() ->> 'is_anonymous'").fetchone()
    assert row == (user["id"], "authenticated", "true")


def token_claims(text: str) -> str:
    part = text.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"email": "ann@example.com", "password": "short"}, (422, "weak_password")),
        ({"email": "ann@example.com", "password": "x" * 73}, (400, "validation_failed")),
        ({"email": "ann@example.com"}, (400, "validation_failed")),
        ({"password": "correct horse"}, (400, "validation_failed")),
        ({"email": "no address", "password": "correct horse"}, (400, "validation_failed")),
        ({"email": "a@b@c", "password": "correct horse"}, (400, "validation_failed")),
        ({"email": "a\u0000@b.c", "password": "correct horse"}, (400, "validation_failed")),
        ({"email": "x" * 300 + "@b.c", "password": "correct horse"}, (400, "validation_failed")),
        ({"email": 5, "password": []}, (400, "validation_failed")),
        ({"data": []}, (400, "validation_failed")),
        ({"data": {"text": "x" * 5_000}}, (422, "validation_failed")),
        ([], (400, "validation_failed")),
        (None, (400, "validation_failed")),
    ],
)
async def test_a_bad_sign_up_is_refused_in_gotrues_shape(
    ask: Api, body: Any, expected: tuple[int, str]
) -> None:
    assert told(await ask("POST", SIGN_UP, json=body)) == expected


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[" * 10_000, b'{"data": NaN}', b'{"data": {"x": NaN}}', b""]
)
async def test_a_body_that_is_no_json_is_400(ask: Api, content: bytes) -> None:
    reply = await ask("POST", SIGN_UP, content=content, headers={"Content-Type": "application/json"})

    assert reply.status_code == 400
    assert told(reply)[1] in {"bad_json", "validation_failed", "bad_request"}


async def test_text_that_no_database_takes_is_mended(ask: Api) -> None:
    content = rb'{"data": {"a\u0000": "\ud800"}}'
    reply = await ask("POST", SIGN_UP, content=content, headers={"Content-Type": "application/json"})

    assert reply.json()["user"]["user_metadata"] == {"a\ufffd": "\ufffd"}


async def test_a_taken_address_is_told_whatever_its_case(ask: Api) -> None:
    await ask.sign_up("ann@example.com")

    reply = await ask("POST", SIGN_UP, json={"email": " Ann@Example.com", "password": "another one"})

    assert told(reply) == (422, "user_already_exists")


async def test_a_wrong_password_and_an_unknown_address_are_one_answer(ask: Api) -> None:
    await ask.sign_up("ann@example.com")
    wrong, unknown = [
        await ask("POST", PASSWORD, json={"email": email, "password": "battery staple"})
        for email in ("ann@example.com", "bob@example.com")
    ]

    assert told(wrong) == told(unknown) == (400, "invalid_credentials")
    assert wrong.json() == unknown.json()


async def test_an_anonymous_user_has_no_password_to_sign_in_with(ask: Api) -> None:
    await ask.sign_up()

    for body in ({"email": "", "password": ""}, {"email": None, "password": None}, {}):
        assert told(await ask("POST", PASSWORD, json=body)) == (400, "validation_failed")


@pytest.mark.slow
async def test_guessing_passwords_is_stopped_for_the_guesser_alone(ask: Api) -> None:
    await ask.sign_up("ann@example.com")
    guess = {"email": "ann@example.com", "password": "guess"}
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 60:  # one more is forgiven every 5 seconds
        statuses.append((await ask("POST", PASSWORD, json=guess)).status_code)

    assert set(statuses[:20]) == {400}
    assert statuses[-1] == 429
    other = {"email": "bob@example.com", "password": "guess"}
    assert (await ask("POST", PASSWORD, json=other)).status_code == 400


@pytest.mark.parametrize("grant", ["", "?grant_type=", "?grant_type=magic", "?grant_type=pkce"])
async def test_another_grant_is_refused(ask: Api, grant: str) -> None:
    assert told(await ask("POST", f"/auth/v1/token{grant}", json={})) == (400, "invalid_grant")


async def test_nothing_is_answered_without_a_key(ask: Api) -> None:
    for method, path in (
        ("POST", SIGN_UP),
        ("GET", "/auth/v1/user"),
        ("GET", "/auth/v1/settings"),
        ("GET", "/auth/v1/admin/users"),
    ):
        assert told(await ask(method, path, key="", json={})) == (401, "no_api_key")
        assert told(await ask(method, path, key="sb_secret_made-up", json={})) == (401, "invalid_api_key")


async def test_who_is_signed_in_takes_a_session_of_this_gateway(ask: Api) -> None:
    session = await ask.sign_up()
    user_path = "/auth/v1/user"

    assert told(await ask("GET", user_path)) == (401, "no_authorization")
    assert told(await ask("GET", user_path, key=ask.secret)) == (401, "no_authorization")
    assert told(await ask("GET", user_path, token="garbage")) == (403, "bad_jwt")
    assert told(await ask("GET", user_path, token=token(secret=OTHER_SECRET))) == (403, "bad_jwt")
    assert (await ask("GET", user_path, token=session["access_token"])).json()["id"] == session["user"]["id"]


async def test_a_token_for_another_users_session_is_refused(database_url: str, tmp_path: Path) -> None:
    async with gateway(database_url, tmp_path, jwt_secret=JWT_SECRET) as running, api(running) as ask:
        ann, bob = await ask.sign_up("ann@example.com"), await ask.sign_up("bob@example.com")
        session_id = json.loads(token_claims(ann["access_token"]))["session_id"]
        bobs_id = UUID(bob["user"]["id"])

        mixed, _ = TokenIssuer(JWT_SECRET).issue(bobs_id, claims={"session_id": session_id})

        assert told(await ask("GET", "/auth/v1/user", token=mixed)) == (403, "session_not_found")


async def test_users_cannot_give_themselves_what_policies_trust(ask: Api) -> None:
    session = await ask.sign_up("ann@example.com")
    wanted = {"agent_worker": "operator", "enterprise_id": "acme"}

    changed = await ask(
        "PUT",
        "/auth/v1/user",
        token=session["access_token"],
        json={
            "app_metadata": wanted,
            "role": "service_role",
            "is_anonymous": True,
            "data": {"app_metadata": wanted},
        },
    )
    second = await ask("POST", SIGN_UP, json={"app_metadata": wanted, "role": "service_role", "data": {}})

    assert changed.json()["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert second.json()["user"]["app_metadata"] == {}
    assert {changed.json()["role"], second.json()["user"]["role"]} == {"authenticated"}


async def test_an_address_of_somebody_else_cannot_be_taken_over(ask: Api) -> None:
    await ask.sign_up("ann@example.com")
    guest = await ask.sign_up()

    reply = await ask("PUT", "/auth/v1/user", token=guest["access_token"], json={"email": "ann@example.com"})

    assert told(reply) == (422, "email_exists")


async def test_only_the_secret_key_reaches_the_users(ask: Api) -> None:
    session = await ask.sign_up("ann@example.com")
    path = f"/auth/v1/admin/users/{session['user']['id']}"
    for method, where in (
        ("GET", "/auth/v1/admin/users"),
        ("POST", "/auth/v1/admin/users"),
        ("GET", path),
        ("PUT", path),
        ("DELETE", path),
    ):
        assert told(await ask(method, where, json={})) == (403, "not_admin")
        assert told(await ask(method, where, token=session["access_token"], json={})) == (403, "not_admin")


async def test_pages_of_users_say_how_many_there_are(ask: Api) -> None:
    for number in range(3):
        await ask.sign_up(f"user{number}@example.com")

    reply = await ask("GET", "/auth/v1/admin/users?page=1&per_page=2", key=ask.secret)

    assert [user["email"] for user in reply.json()["users"]] == ["user2@example.com", "user1@example.com"]
    assert reply.headers["x-total-count"] == "3"
    assert 'page=2&per_page=2>; rel="next"' in reply.headers["link"]
    assert (
        len((await ask("GET", "/auth/v1/admin/users?page=&per_page=", key=ask.secret)).json()["users"]) == 3
    )
    for query in ("page=0", "per_page=100000", "page=x", "page=-1", "page=99999999999999999999"):
        assert (await ask("GET", f"/auth/v1/admin/users?{query}", key=ask.secret)).status_code == 400


async def test_no_answer_shows_a_password(ask: Api) -> None:
    body = {"email": "ann@example.com", "password": "correct horse", "app_metadata": {"tenant": "acme"}}
    made = await ask("POST", "/auth/v1/admin/users", key=ask.secret, json=body)
    session = await ask("POST", PASSWORD, json=body)
    listed = await ask("GET", "/auth/v1/admin/users", key=ask.secret)

    for reply in (made, session, listed):
        assert reply.status_code == 200
        assert "scrypt" not in reply.text
        assert "correct horse" not in reply.text
    assert session.json()["user"]["app_metadata"]["tenant"] == "acme"


@pytest.mark.parametrize("path", ["/auth/v1/otp", "/auth/v1/recover", "/auth/v1/verify"])
async def test_what_needs_mail_says_so(ask: Api, path: str) -> None:
    reply = await ask("POST", path, json={"email": "ann@example.com"})

    assert told(reply) == (422, "validation_failed")
    assert "mail" in reply.json()["msg"]
    assert told(await ask("POST", "/auth/v1/nonsense", json={})) == (404, "not_found")


async def test_a_hosted_projects_users_are_left_alone(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE auth.refresh_tokens RENAME COLUMN token_hash TO token")

    with pytest.raises(ConfigurationError, match="AGENT_WORKER_GATEWAY_AUTH"):
        async with gateway(database_url, tmp_path):
            pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["email", "data", "refresh_token", "app_metadata", "grant_type", "user_metadata", "ban_duration"]
)


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.dictionaries(FIELDS, JSON | st.emails()),
    st.sampled_from(
        [
            SIGN_UP,
            PASSWORD,
            "/auth/v1/token?grant_type=refresh_token",
            "/auth/v1/user",
            "/auth/v1/admin/users",
        ]
    ),
)
async def test_no_body_is_a_server_error(ask: Api, body: dict[str, Any], path: str) -> None:
    method = "PUT" if path.endswith("user") else "POST"

    reply = await ask(method, path, key=ask.secret, json=body)

    assert reply.status_code < 500, reply.text


async def test_the_openapi_document_describes_sign_in_and_its_refusals(ask: Api) -> None:
    document = (await ask("GET", "/openapi.json")).json()

    sign_up = document["paths"]["/auth/v1/signup"]["post"]
    assert sign_up["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/SignUp")
    for status in ("400", "401", "403", "422", "429"):
        schema = sign_up["responses"][status]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/Problem")
    assert "/auth/v1/admin/users/{user_id}" in document["paths"]
