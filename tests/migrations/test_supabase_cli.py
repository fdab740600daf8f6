"""`supabase db push` and our runner keep one history, and Supabase's advisors and linter find nothing to say."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from agent_worker.db.migrate import migrate, status
from agent_worker.db.migration_files import bootstrap_file, load_migrations
from agent_worker.testing.postgres import TestDatabases
from tests.migrations.normal_form import normal_form

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm"),
]

ROOT = Path(__file__).parents[2]
OURS = tuple(load_migrations())
INSTALL_TIMEOUT_S = 300


class Supabase:
    """The command line tool in a copy of this repository's project, away from the user's own settings."""

    def __init__(self, program: Path, project: Path) -> None:
        self.program = program
        self.project = project
        self.home = project / "home"
        self.home.mkdir(parents=True)

    def run(self, *arguments: str, url: str, exit_code: int = 0) -> str:
        """Run a command against a database and return all it printed."""
        done = subprocess.run(
            [str(self.program), *arguments, f"--remote={_plain(url)}", "--workdir", str(self.project)],
            env={
                **os.environ,
                "HOME": str(self.home),
                "SUPABASE_TELEMETRY_DISABLED": "1",
                "DO_NOT_TRACK": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: str, url: str) -> Any:
        """Run a command and return its result."""
        printed = self.run(*arguments, "--output-format", "json", url=url)
        (line,) = (line for line in printed.splitlines() if line.startswith("{"))
        return json.loads(line)


def _plain(url: str) -> str:
    """Return a URL that the tool accepts for a server without TLS, by TCP."""
    with psycopg.connect(url) as conn:
        info = conn.info
        host = "127.0.0.1" if info.host.startswith("/") else info.host
        secret = f":{info.password}" if info.password else ""
        return f"postgres://{info.user}{secret}@{host}:{info.port}/{info.dbname}?sslmode=disable"


@pytest.fixture(scope="module")
def program(pytestconfig: pytest.Config) -> Path:
    """The tool in the version of package.json, installed once and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("supabase-cli")
    wanted = Path(__file__).with_name("package.json").read_text(encoding="utf-8")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes, one installation
        installed = folder / "installed.json"
        if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
            (folder / "package.json").write_text(wanted, encoding="utf-8")
            subprocess.run(
                ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=INSTALL_TIMEOUT_S,
            )
            installed.write_text(wanted, encoding="utf-8")
    return folder / "node_modules" / ".bin" / "supabase"


@pytest.fixture
def supabase(program: Path, tmp_path: Path) -> Supabase:
    """The tool in a copy of this repository, as a checkout has it."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "migrations", project / "migrations")
    shutil.copytree(
        ROOT / "supabase", project / "supabase", symlinks=True, ignore=shutil.ignore_patterns(".temp")
    )
    return Supabase(program, project)


@pytest.fixture
def hosted_url(databases: TestDatabases) -> Iterator[str]:
    """A database with what every Supabase project has, and nothing of ours."""
    with databases.empty() as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(bootstrap_file().read_bytes())
        yield url


def history(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        query = "SELECT version, name, statements FROM supabase_migrations.schema_migrations ORDER BY version"
        return conn.execute(query).fetchall()


def test_what_the_tool_pushed_is_up_to_date_for_us(
    supabase: Supabase, hosted_url: str, database_url: str
) -> None:
    printed = supabase.run("db", "push", "--yes", url=hosted_url)
    assert f"Apply {len(OURS)} migrations" in printed

    report = asyncio.run(migrate(hosted_url))

    assert (report.applied, report.bootstrapped) == ((), False)
    assert normal_form(hosted_url) == normal_form(database_url)
    assert history(hosted_url) == history(database_url), "statement by statement"


def test_what_we_applied_is_up_to_date_for_the_tool(supabase: Supabase, database_url: str) -> None:
    assert "Remote database is up to date" in supabase.run("db", "push", "--yes", url=database_url)

    listed = supabase.json("migration", "list", url=database_url)["migrations"]
    versions = [migration.version for migration in OURS]
    assert [(row["local"], row["remote"]) for row in listed] == [*zip(versions, versions, strict=True)]


def test_each_continues_what_the_other_began(supabase: Supabase, hosted_url: str) -> None:
    later = [supabase.project / "migrations" / migration.file_name for migration in OURS[5:]]
    kept = {path: path.read_bytes() for path in later}
    for path in later:
        path.unlink()
    supabase.run("db", "push", "--yes", url=hosted_url)
    assert asyncio.run(status(hosted_url)).pending == OURS[5:]

    assert asyncio.run(migrate(hosted_url)).applied == OURS[5:]

    for path, content in kept.items():
        path.write_bytes(content)
    assert "Remote database is up to date" in supabase.run("db", "push", "--yes", url=hosted_url)


def test_a_project_with_migrations_of_its_own_fetches_ours_and_goes_on(
    program: Path, tmp_path: Path, database_url: str
) -> None:
    project = tmp_path / "mine"
    (project / "supabase" / "migrations").mkdir(parents=True)
    (project / "supabase" / "config.toml").write_text('project_id = "mine"\n')
    mine = project / "supabase" / "migrations" / "20990101000000_mine.sql"
    mine.write_text("create table public.mine (id integer primary key);\n")
    supabase = Supabase(program, project)
    refused = supabase.run("db", "push", "--yes", url=database_url, exit_code=1)
    assert "Remote migration versions not found in local migrations directory" in refused

    supabase.run("migration", "fetch", "--yes", url=database_url)
    supabase.run("db", "push", "--yes", url=database_url)

    found = asyncio.run(status(database_url))
    assert (found.applied, [migration.name for migration in found.unknown]) == (OURS, ["mine"])


def test_the_advisors_find_nothing_that_matters(supabase: Supabase, database_url: str) -> None:
    found = supabase.json("db", "advisors", "--level", "info", "--fail-on", "warn", url=database_url)

    names = {result["name"] for result in found["results"]}
    # Nobody has used the indexes of an empty database, and the private tables are closed on purpose.
    assert names <= {"unused_index", "rls_enabled_no_policy"}


def test_the_linter_finds_no_mistake_in_our_functions(supabase: Supabase, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        found = conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'plpgsql_check'").fetchone()
        if found is None:
            pytest.skip("this server lacks the extension plpgsql_check")
        conn.execute("CREATE SCHEMA extensions")
        conn.execute("CREATE EXTENSION plpgsql_check SCHEMA extensions")
        # Where a hosted project looks for extensions.
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL('ALTER DATABASE {} SET search_path = "$user", public, extensions').format(name))

    schemas = ["--schema", "public,agent_worker"]
    printed = supabase.run(
        "db", "lint", "--level", "warning", "--fail-on", "warning", *schemas, url=database_url
    )

    assert "No schema errors found" in printed
