"""API keys: the public one of browsers and the secret one of servers, made once and kept.

They have the form of Supabase's: `sb_publishable_…` acts as `anon`, `sb_secret_…` as `service_role`. A key is random
text that is compared; it carries nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from agent_worker.domain.caller import ANON, SERVICE_ROLE
from agent_worker.domain.errors import ConfigurationError

PUBLISHABLE_PREFIX = "sb_publishable_"
SECRET_PREFIX = "sb_secret_"  # noqa: S105 - the prefix of keys, none itself
PREFIX = "sb_"

SHORTEST_JWT_SECRET_BYTES = 32
"""RFC 7518 §3.2: a key for HS256 is at least as long as its hash."""

_RANDOM_LENGTH = 40
_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(r"[A-Za-z0-9_-]{20,200}")
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The two keys of one gateway.

    Args:
        publishable: `sb_publishable_` and at least 20 letters, digits, `_` or `-`; no secret, it stands in web pages.
        secret: `sb_secret_` and the same; passes over row level security.

    Raises:
        ConfigurationError: A key has another form.
    """

    publishable: SecretStr
    secret: SecretStr

    def __post_init__(self) -> None:
        for name, key, prefix in (
            ("AGENT_WORKER_PUBLISHABLE_KEY", self.publishable, PUBLISHABLE_PREFIX),
            ("AGENT_WORKER_SECRET_KEY", self.secret, SECRET_PREFIX),
        ):
            text = key.get_secret_value()
            if not text.startswith(prefix) or not _FORM.fullmatch(text.removeprefix(prefix)):
                raise ConfigurationError(
                    f"{name} is no key of its kind · it should be {prefix} and 20 or more letters, digits, _ or - · "
                    "mend it, or unset it to have one made"
                )

    @classmethod
    def generate(cls) -> Self:
        """Make a new pair with about 238 random bits in each."""
        return cls(_new_key(PUBLISHABLE_PREFIX), _new_key(SECRET_PREFIX))

    def role_of(self, key: str) -> str | None:
        """Return whom a key stands for, `anon` or `service_role`; None when it is neither.

        Both are compared each time, by digests, so that the time tells nothing.
        """
        given = _digest(key)
        is_publishable = hmac.compare_digest(given, _digest(self.publishable.get_secret_value()))
        is_secret = hmac.compare_digest(given, _digest(self.secret.get_secret_value()))
        return SERVICE_ROLE if is_secret else ANON if is_publishable else None


@dataclass(frozen=True, slots=True)
class Keyring:
    """What a gateway needs to know its callers: two keys, and the secret that its own tokens are signed with.

    Raises:
        ConfigurationError: The secret is too short, or is a key that everybody may know.
    """

    keys: ApiKeys
    jwt_secret: SecretStr

    def __post_init__(self) -> None:
        check_jwt_secret(self.jwt_secret)

    @classmethod
    def generate(cls) -> Self:
        """Make everything anew."""
        return cls(ApiKeys.generate(), SecretStr(secrets.token_urlsafe(48)))


def check_jwt_secret(secret: SecretStr) -> None:
    """Refuse a secret that is easily guessed.

    Raises:
        ConfigurationError: It is shorter than 32 bytes, or is the PEM text of a key.
    """
    text = secret.get_secret_value()
    if len(text.encode()) < SHORTEST_JWT_SECRET_BYTES or text.lstrip().startswith("-----BEGIN"):
        raise ConfigurationError(
            "AGENT_WORKER_JWT_SECRET cannot sign tokens · it must be a random text of "
            f"{SHORTEST_JWT_SECRET_BYTES} bytes or more, and no PEM · "
            "take the project's JWT secret, or make one: openssl rand -base64 48"
        )


def open_keyring(path: Path) -> Keyring:
    """Read the keyring in a file, mode 0600, or make one there; of two processes that come first at once, one does.

    Args:
        path: In a directory that exists and that only its owner writes.

    Raises:
        ConfigurationError: The file is damaged, cannot be read or written, or others may read it.
    """
    try:
        if not path.exists():
            _publish(Keyring.generate(), path)
        return _read(path)
    except OSError as exc:
        raise ConfigurationError(
            f"the keys in {path} cannot be used · {exc.strerror or exc} · set AGENT_WORKER_DATA_DIR to a folder of your own"
        ) from exc


def _read(path: Path) -> Keyring:
    with path.open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_mode & _OTHERS_MAY_READ:
            raise ConfigurationError(
                f"other users may read the keys in {path} · run: chmod 600 {path}, or delete it to have new ones made"
            )
        text = file.read()
    try:
        found = json.loads(text)
        publishable, secret, jwt_secret = (
            str(found[name]) for name in ("publishable_key", "secret_key", "jwt_secret")
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(
            f"the keys in {path} are damaged · delete the file to have new ones made"
        ) from exc
    return Keyring(ApiKeys(SecretStr(publishable), SecretStr(secret)), SecretStr(jwt_secret))


def _publish(keyring: Keyring, path: Path) -> None:
    """Give a finished file its name; a name that is taken by now stays as it is."""
    document = {
        "publishable_key": keyring.keys.publishable.get_secret_value(),
        "secret_key": keyring.keys.secret.get_secret_value(),
        "jwt_secret": keyring.jwt_secret.get_secret_value(),
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _new_key(prefix: str) -> SecretStr:
    return SecretStr(prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH)))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
