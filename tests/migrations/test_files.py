"""The files themselves: names, order, where they are found, and how they are cut."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent_worker.db.migration_files import bootstrap_file, find_migrations, load_migrations, split_statements
from agent_worker.domain.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def test_every_file_of_the_repository_is_a_migration_in_order() -> None:
    names = sorted(path.name for path in (ROOT / "migrations").iterdir())

    assert [migration.file_name for migration in load_migrations()] == names


def test_the_last_migration_says_that_it_is_the_last() -> None:
    newest, text = list(load_migrations().items())[-1]

    assert "function agent_worker.schema_version(" in text
    assert f"select '{newest.version}', '" in text


def test_a_package_with_migrations_inside_is_preferred_to_the_repository(tmp_path: Path) -> None:
    package = tmp_path / "agent_worker"
    for folder, name in ((package, "20260101000100_inside.sql"), (tmp_path, "20260101000100_outside.sql")):
        (folder / "migrations").mkdir(parents=True)
        (folder / "migrations" / name).touch()

    assert [file.name for file in find_migrations(package)] == ["20260101000100_inside.sql"]


def test_an_editable_install_finds_the_repository_and_passes_over_other_files(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    for name in ("20260101000200_b.sql", "20260101000100_a.sql", "README.md", "1_short.sql", ".DS_Store"):
        (tmp_path / "migrations" / name).touch()

    found = find_migrations(tmp_path / "agent_worker")

    assert [file.name for file in found] == ["20260101000100_a.sql", "20260101000200_b.sql"]


def test_an_installation_without_migrations_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no migrations .* install it again"):
        find_migrations(tmp_path / "agent_worker")


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1;\nselect 2;\n", ["select 1", "select 2"]),
        ("-- why; because\nselect 1;", ["-- why; because\nselect 1"]),
        ("select ';', 'it''s;', \"a;b\";", ["select ';', 'it''s;', \"a;b\""]),
        ("do $$ begin null; end $$;\nselect 1", ["do $$ begin null; end $$", "select 1"]),
        ("do $x$ select $$;$$; $x$;", ["do $x$ select $$;$$; $x$"]),
        ("/* one; two */ select 1;", ["/* one; two */ select 1"]),
        ("select $1;", ["select $1"]),
        (" ; ;\n", []),
    ],
)
def test_statements_end_at_semicolons_that_are_no_text(text: str, statements: list[str]) -> None:
    assert split_statements(text) == statements


def test_no_migration_mentions_a_schema_it_may_not_touch_on_a_hosted_project() -> None:
    for migration, text in load_migrations().items():
        for forbidden in (
            "create schema if not exists auth",
            "create role",
            "function auth.",
            "create schema if not exists realtime",
            "create table realtime.",
            "alter table realtime.",
            "create function realtime.",
            "storage.",
        ):
            assert f" {forbidden}" not in f" {text}".replace("\n", " "), migration.file_name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_carries_migrations_bootstrap_and_queries(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    migrations = {f"agent_worker/migrations/{migration.file_name}" for migration in load_migrations()}
    queries = {
        f"agent_worker/db/queries/{path.name}" for path in (ROOT / "agent_worker/db/queries").glob("*.sql")
    }
    assert {name for name in names if name.startswith("agent_worker/migrations/")} == migrations
    assert queries <= names
    assert {"agent_worker/db/bootstrap.sql", "agent_worker/py.typed"} <= names


def test_the_wheel_carries_the_dashboard_where_it_is_built(wheel: Path) -> None:
    if not (ROOT / "agent_worker" / "gateway" / "dashboard" / "index.html").exists():
        pytest.skip("the dashboard is not built; it takes Node.js")
    names = set(zipfile.ZipFile(wheel).namelist())

    assert "agent_worker/gateway/dashboard/index.html" in names
    assert any(name.endswith(".js") for name in names if name.startswith("agent_worker/gateway/dashboard/"))


def test_the_package_in_the_wheel_finds_its_own_files(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "from agent_worker.db.migration_files import *\n"
        "print(*find_migrations(), bootstrap_file(), sep='\\n')\n"
    )

    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    paths = [Path(line) for line in found.stdout.splitlines()]
    assert [path.name for path in paths] == [file.name for file in find_migrations()] + [
        bootstrap_file().name
    ]
    assert all(path.is_relative_to(tmp_path) and path.is_file() for path in paths)
