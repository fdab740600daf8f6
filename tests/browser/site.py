"""The pages, built from source and served on loopback."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "frontend_client"
EXAMPLE = ROOT / "examples" / "react-chat"
PAGES = Path(__file__).parent / "pages"
INSTALL_TIMEOUT_S = 300
BUILD_TIMEOUT_S = 120


def install(folder: Path) -> None:
    """Install what a folder's lock file names, once; one process at a time."""
    marker = folder / "node_modules" / ".package-lock.json"
    with (folder / "package-lock.json").open() as wanted:
        fcntl.flock(wanted, fcntl.LOCK_EX)
        if not marker.exists() or marker.stat().st_mtime < os.fstat(wanted.fileno()).st_mtime:
            _npm(folder, "ci", "--no-audit", "--no-fund", timeout_s=INSTALL_TIMEOUT_S)


def build_dashboard() -> None:
    """Build the dashboard where the gateway serves it from, if its sources are newer; one process at a time."""
    make = ["make", "--silent", "dashboard"]
    with (ROOT / "frontend_client" / "dashboard" / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            make,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def build_example(out: Path, *, url: str, key: str) -> None:
    """Build the example for one gateway, with the types checked."""
    variables = {"VITE_SUPABASE_URL": url, "VITE_SUPABASE_ANON_KEY": key}
    _npm(EXAMPLE, "exec", "--", "tsc", timeout_s=BUILD_TIMEOUT_S)
    _vite(EXAMPLE, "--base", "./", "--outDir", str(out), variables=variables)


def build_pages(out: Path) -> None:
    """Build the pages of these tests, which learn the gateway from their address."""
    _vite(EXAMPLE, str(PAGES), "--config", str(PAGES / "vite.config.mjs"), "--outDir", str(out))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def _vite(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
    arguments = ("exec", "--", "vite", "build", *arguments, "--emptyOutDir", "--logLevel", "warn")
    _npm(folder, *arguments, timeout_s=BUILD_TIMEOUT_S, variables=variables)


def _npm(folder: Path, *arguments: str, timeout_s: float, variables: Mapping[str, str] | None = None) -> None:
    """Run npm in a folder, with the Node that the client has installed before the system's."""
    npm = shutil.which("npm")
    assert npm is not None
    node = CLIENT / "node_modules" / ".bin"
    env = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ['PATH']}", **(variables or {})}
    done = subprocess.run(
        [npm, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"npm {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
