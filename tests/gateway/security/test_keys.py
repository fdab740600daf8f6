"""API keys: their form, how they are compared, and how they are kept."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent_worker.domain.errors import ConfigurationError
from agent_worker.security.keys import ApiKeys, Keyring, check_jwt_secret, open_keyring


def test_made_keys_have_supabase_prefixes_and_differ_each_time() -> None:
    first, second = ApiKeys.generate(), ApiKeys.generate()

    assert first.publishable.get_secret_value().startswith("sb_publishable_")
    assert first.secret.get_secret_value().startswith("sb_secret_")
    assert len(first.secret.get_secret_value().removeprefix("sb_secret_")) >= 32
    assert first.secret != second.secret


def test_each_key_is_its_role_and_nothing_else_is_one() -> None:
    keys = ApiKeys.generate()
    publishable, secret = keys.publishable.get_secret_value(), keys.secret.get_secret_value()

    assert keys.role_of(publishable) == "anon"
    assert keys.role_of(secret) == "service_role"
    for wrong in ("", secret[:-1], secret + "x", secret.upper(), "sb_secret_", "\ud800", "é" * 40):
        assert keys.role_of(wrong) is None


def test_no_repr_shows_a_key() -> None:
    ring = Keyring.generate()

    for hidden in (ring.keys.secret, ring.keys.publishable, ring.jwt_secret):
        assert hidden.get_secret_value() not in f"{ring!r} {ring} {ring.keys!r}"


@pytest.mark.parametrize(
    "text", ["sb_secret_", "sb_secret_short", "sk-1234567890123456789012", "sb_secret_" + "ü" * 30]
)
def test_a_key_of_another_form_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_WORKER_SECRET_KEY") as caught:
        ApiKeys(ApiKeys.generate().publishable, SecretStr(text))

    assert text == "sb_secret_" or text not in str(caught.value)


@pytest.mark.parametrize("text", ["", "short", "x" * 31, "-----BEGIN PUBLIC KEY-----\n" + "A" * 64])
def test_a_secret_that_is_easily_guessed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_WORKER_JWT_SECRET"):
        check_jwt_secret(SecretStr(text))


def test_the_keyring_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    made, again = open_keyring(path), open_keyring(path)

    assert made == again
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


def test_processes_that_come_first_at_once_agree_on_one_keyring(tmp_path: Path) -> None:
    found: list[Keyring] = []
    start = threading.Barrier(8)

    def come() -> None:
        start.wait()
        found.append(open_keyring(tmp_path / "keys.json"))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({ring.jwt_secret.get_secret_value() for ring in found}) == 1
    assert len(found) == 8


def test_a_keyring_that_others_may_read_is_refused_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    open_keyring(path)
    path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        open_keyring(path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"publishable_key": 1, "secret_key": 2, "jwt_secret": 3}', "\0"]
)
def test_a_damaged_keyring_is_told_and_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(ConfigurationError):
        open_keyring(path)

    assert path.read_text() == text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "file").touch()
        folder = tmp_path / "file"
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)

    with pytest.raises(ConfigurationError, match="cannot be used"):
        open_keyring(folder / "keys.json")
