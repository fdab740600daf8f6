"""A Supabase project, as a worker without a PostgreSQL connection knows it: an address and a secret key."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from agent_worker.domain.errors import ConfigurationError

_LOOKS_LIKE_A_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Project:
    """Where a project is and what opens it.

    Args:
        url: `https://PROJECT.supabase.co`, or another server's with the same API below it.
        key: The secret (service_role) key: `sb_secret_…`, or the older kind that is a JWT.

    Raises:
        ConfigurationError: One of the two cannot be right.
    """

    url: str
    key: SecretStr

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise ConfigurationError(
                "SUPABASE_URL is not the address of a project · "
                "it should look like https://PROJECT.supabase.co · copy it from the dashboard: Project Settings, Data API"
            )
        # A line break in a header would be told in an error, with the key around it.
        if not _LOOKS_LIKE_A_KEY.fullmatch(self.key.get_secret_value()):
            raise ConfigurationError(
                "SUPABASE_SERVICE_KEY has a blank or a character in it that no key has · copy it again"
            )

    @property
    def target(self) -> str:
        """Name the project for a person: its host, and the port where it is not the usual one."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def is_public_key(self) -> bool:
        """Whether the key is one for browsers: `sb_publishable_…`, or a JWT for a role other than service_role."""
        key = self.key.get_secret_value()
        return key.startswith("sb_publishable_") or _role(key) in {"anon", "authenticated"}

    def without_key(self, text: str) -> str:
        """Return the text with every trace of the key taken out."""
        return text.replace(self.key.get_secret_value(), "***")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    return parts.scheme in {"http", "https"} and has_place and not re.search(r"\s", url)


def _role(key: str) -> str | None:
    """Read the role that a JWT claims; None when it is no JWT. Nobody trusts it: it only explains a refusal."""
    parts = key.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims and signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        return str(claims["role"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
