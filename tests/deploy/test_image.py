"""The image's own steps, without Docker: its RUN lines, health check and stop signal, as an ordinary user.

What pip would download is taken from this environment, and pip may look nowhere else; so the steps need no network,
and still fail when the wheel lacks a file, a pin does not exist, or a requirement is not met.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from agent_worker import __version__
from tests.cli.program import until
from tests.deploy.files import ROOT, dockerfile, instructions

TIMEOUT_S = 60.0

pytestmark = pytest.mark.slow


def admitted() -> list[str]:
    """What .dockerignore lets in: everything is refused, then some names are excepted."""
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


def copied() -> list[str]:
    """What the Dockerfile takes from the build's context."""
    sources = []
    for _, instruction, arguments in dockerfile():
        if instruction == "COPY" and not arguments.startswith("--from"):
            sources += arguments.split()[:-1]
    return sources


def test_the_build_gets_what_it_copies_and_no_secrets() -> None:
    assert set(copied()) == set(admitted())
    for refused in (".env", ".git", ".agent-worker", "tests", "deploy"):
        assert not any(fnmatch.fnmatch(refused, pattern) for pattern in admitted())


@dataclass(frozen=True, slots=True)
class Image:
    """The steps of the Dockerfile, in folders of our own.

    Attributes:
        folder: Holds them: src, wheels, python (of the base image), agent-worker, and an empty one to work in.
        prefix: Runs a command as an ordinary user.
    """

    folder: Path
    prefix: list[str]

    def run(self, step: str, *, python: Path) -> None:
        """Run a shell step with `python` first on PATH."""
        for inside, outside in (
            ("/src", "src"),
            ("/wheels", "wheels"),
            ("/opt/agent-worker", "agent-worker"),
        ):
            step = step.replace(inside, str(self.folder / outside))
        done = subprocess.run(
            [*self.prefix, "sh", "-euc", step],
            cwd=self.folder / "src",
            env=self.environment(python),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"

    def environment(self, python: Path) -> dict[str, str]:
        path = f"{python / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": "/nonexistent", "PIP_NO_INDEX": "1", "EXTRAS": "", "LANG": "C.UTF-8"}

    @property
    def program(self) -> Path:
        """The folder of the environment that goes into the image."""
        return self.folder / "agent-worker"


def with_our_packages(environment: Path) -> None:
    """Let pip find what it would download."""
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "ours.pth").write_text("\n".join(site.getsitepackages()))


@pytest.fixture(scope="module")
def image(normal_user: tuple[list[str], int]) -> Iterator[Image]:
    prefix, uid = normal_user
    folder = Path(tempfile.mkdtemp(prefix="agent-worker-image-"))
    try:
        (folder / "src").mkdir()
        (folder / "work").mkdir()
        for name in copied():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / "src" / name)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, -1)
        built = Image(folder, prefix)
        build(built)
        yield built
    finally:
        shutil.rmtree(folder)


def build(image: Image) -> None:
    base = image.folder / "python"
    subprocess.run([*image.prefix, sys.executable, "-m", "venv", str(base)], check=True)
    with_our_packages(base)
    for step in instructions("RUN", stage="wheel"):
        image.run(step, python=base)
    for step in instructions("RUN", stage="install"):
        image.run(step, python=image.program if image.program.exists() else base)
        with_our_packages(image.program)


def test_the_program_in_the_image_is_the_wheel(image: Image) -> None:
    look = "import agent_worker, agent_worker.db.migration_files as m; print(agent_worker.__file__, m.find_migrations()[0])"
    paths = said(image, "python", "-c", look).split()
    assert len(paths) == 2
    assert all(Path(path).is_relative_to(image.program) for path in paths)
    assert __version__ in said(image, "agent-worker", "--version")


def said(image: Image, *command: str) -> str:
    """What a command in the image prints."""
    done = subprocess.run(
        [*image.prefix, *command],
        env=image.environment(image.program),
        cwd=image.folder / "work",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout


def environment_of_the_image() -> dict[str, str]:
    words = [word for line in instructions("ENV") for word in line.split()]
    return {name: value for name, _, value in (word.partition("=") for word in words) if name != "PATH"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def is_healthy(image: Image, env: Mapping[str, str]) -> bool:
    (check,) = instructions("HEALTHCHECK")
    _, _, command = check.partition("CMD ")
    words = yaml.safe_load(command)
    done = subprocess.run(
        [*image.prefix, *words], env=env, cwd="/", capture_output=True, timeout=TIMEOUT_S, check=False
    )
    return done.returncode == 0


def test_the_container_gets_healthy_writes_no_file_and_drains_when_stopped(
    image: Image, database_url: str, tmp_path: Path
) -> None:
    env = {
        **image.environment(image.program),
        **environment_of_the_image(),
        "AGENT_WORKER_METRICS_PORT": str(free_port()),
        "AGENT_WORKER_METRICS_HOST": "127.0.0.1",
        "AGENT_WORKER_MODEL": "echo/echo",
        "DATABASE_URL": database_url,
    }
    (entrypoint,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")
    words = [*yaml.safe_load(entrypoint), *yaml.safe_load(command)]
    before = {path for path in image.folder.rglob("*") if "__pycache__" not in path.parts}
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "worker.log").open("wb"))
        process = subprocess.Popen([*image.prefix, *words], env=env, cwd=image.folder / "work", stderr=log)
        stack.callback(process.kill)
        assert not is_healthy(image, {**env, "AGENT_WORKER_METRICS_PORT": str(free_port())})
        until(lambda: is_healthy(image, env), timeout_s=TIMEOUT_S)
        (stop,) = instructions("STOPSIGNAL")
        process.send_signal(signal.Signals[stop])
        assert process.wait(TIMEOUT_S) == 0
    assert {path for path in image.folder.rglob("*") if "__pycache__" not in path.parts} == before


def test_the_steps_read_as_one_line_each() -> None:
    """Guards the reader of the Dockerfile above: an instruction it cannot split would be skipped in silence."""
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE"}
    known |= {"STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {instruction for _, instruction, _ in dockerfile()} == known
    for step in instructions("RUN", stage="wheel"):
        assert shlex.split(step)[0] == "pip"
