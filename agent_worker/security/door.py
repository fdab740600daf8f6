"""One door: an API key and perhaps a token in, a `Caller` out.

A request to Supabase has two headers. `apikey` says which program asks, `Authorization` who uses it; without a session
both hold the key. Refusals are worded as Supabase's API gateway words them for keys, and as PostgREST does for tokens.
"""

from __future__ import annotations

from agent_worker.domain.caller import ANON, SERVICE_ROLE, Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.security.keys import PREFIX, SECRET_PREFIX, ApiKeys
from agent_worker.security.tokens import TokenVerifier

KEY_ROLES = frozenset({ANON, SERVICE_ROLE})
"""Roles that a key of the older kind, itself a token, may carry; a user's token is no key."""


class Door:
    """Decides who comes in.

    Args:
        keys: The gateway's own.
        tokens: Checks everything that is signed.
    """

    def __init__(self, keys: ApiKeys, tokens: TokenVerifier) -> None:
        self._keys = keys
        self._tokens = tokens

    async def admit(self, *, apikey: str | None, bearer: str | None, user_agent: str = "") -> Caller:
        """Return whom a request or a socket stands for.

        Args:
            apikey: Header `apikey`, or the query's.
            bearer: What `Authorization: Bearer` holds; None without that header.
            user_agent: Header `User-Agent`: a browser must not hold the secret key.

        Raises:
            GatewayError: 401 with the code `no_api_key`, `invalid_api_key`, `secret_key_in_browser`, PGRST301, PGRST303
                or 22023; 503 when a signer's keys cannot be fetched.
        """
        if not apikey:
            raise GatewayError(
                "No API key found in request",
                status=401,
                code="no_api_key",
                hint="No `apikey` request header or url param was found.",
            )
        program = await self._program(apikey, user_agent)
        if bearer is None or bearer == apikey:
            return program
        return await self.admit_token(bearer)

    async def admit_bearer(self, bearer: str, *, user_agent: str = "") -> Caller:
        """Return whom a request stands for that has nothing but `Authorization: Bearer`: a key's program, or a user.

        Raises:
            GatewayError: As `admit`.
        """
        if bearer.startswith(PREFIX):
            return await self._program(bearer, user_agent)
        return await self.admit_token(bearer)

    async def admit_token(self, token: str) -> Caller:
        """Return whom a session's token stands for; the socket or request has shown its key before.

        Raises:
            GatewayError: As `TokenVerifier.verify`.
        """
        return await self._tokens.verify(token)

    async def _program(self, apikey: str, user_agent: str) -> Caller:
        role = self._keys.role_of(apikey)
        if role is not None:
            if apikey.startswith(SECRET_PREFIX) and is_browser(user_agent):
                raise GatewayError(
                    "Forbidden use of secret API key in browser",
                    status=401,
                    code="secret_key_in_browser",
                    hint="Use the publishable key there. Whoever opened the page has seen this one: replace it.",
                )
            return Caller(role, {"role": role})
        if apikey.startswith(PREFIX):
            raise _invalid_key()
        try:
            caller = await self._tokens.verify(apikey)
        except GatewayError as exc:
            if exc.status == 503:  # noqa: PLR2004 - nobody's fault here
                raise
            raise _invalid_key() from exc
        if caller.role not in KEY_ROLES:
            raise _invalid_key()
        return caller


def is_browser(user_agent: str) -> bool:
    """Tell whether a header is a browser's: each calls itself Mozilla, for reasons of the nineties."""
    return user_agent.lstrip().startswith("Mozilla/")


def _invalid_key() -> GatewayError:
    return GatewayError(
        "Invalid API key",
        status=401,
        code="invalid_api_key",
        hint="Double check your publishable or secret API key.",
    )
