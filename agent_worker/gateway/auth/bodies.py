"""What clients send to `auth/v1`. Fields that no one here needs, such as captcha tokens, are passed over."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from agent_worker.domain.json import dump_json

LONGEST_PASSWORD = 72
SHORTEST_PASSWORD = 6
"""Both as on Supabase."""

_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f.]+(\.[^@\s\x00-\x1f\x7f.]+)*")
_LONGEST_ADDRESS = 255
_DURATION = re.compile(r"(\d{1,9})(s|m|h)")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _address(text: str) -> str:
    address = text.strip().lower()
    if len(address) > _LONGEST_ADDRESS or not address.isprintable() or not _ADDRESS.fullmatch(address):
        raise ValueError("Unable to validate email address: invalid format")
    return address


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    dump_json(value)  # raises ValueError for NaN and infinities
    return value


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _ban(text: str) -> str:
    if text != "none" and not _DURATION.fullmatch(text):
        raise ValueError("invalid format for ban_duration; write 24h, 30m, 10s or none")
    return text


Address: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_address)] | None, BeforeValidator(_empty_is_none)
]
Password: TypeAlias = Annotated[
    Annotated[str, Field(max_length=LONGEST_PASSWORD)] | None, BeforeValidator(_empty_is_none)
]
Metadata: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(_storable)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Problem(BaseModel):
    """GoTrue's answer to what it refuses."""

    code: int = Field(description="The HTTP status.")
    error_code: str = Field(description="Stable; docs/gateway.md lists all.")
    msg: str


class SignUp(_Body):
    """A new user: with address and password, or with neither for an anonymous one."""

    email: Address = None
    password: Password = None
    data: Metadata | None = Field(default=None, description="Becomes user_metadata.")


class Grant(_Body):
    """What a token is asked for with: address and password, or a refresh token."""

    email: Address = None
    password: str | None = None
    refresh_token: str | None = None


class UserChange(_Body):
    """What a user changes of itself."""

    email: Address = None
    password: Password = None
    data: Metadata | None = Field(
        default=None, description="Merged into user_metadata; null takes a key away."
    )


class AdminUser(_Body):
    """What the secret key sets of a user."""

    email: Address = None
    password: Password = None
    user_metadata: Metadata | None = None
    app_metadata: Metadata | None = Field(
        default=None, description="What policies may trust, such as the tenant or the operator's role."
    )
    ban_duration: Annotated[str, AfterValidator(_ban)] | None = None

    @property
    def ban_s(self) -> float | None:
        """Seconds of the ban; 0 lifts it, None leaves it."""
        if self.ban_duration is None:
            return None
        found = _DURATION.fullmatch(self.ban_duration)
        return float(found[1]) * _UNITS_S[found[2]] if found else 0.0
