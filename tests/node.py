"""Packages from npm that tests install once and keep in pytest's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_TIMEOUT_S = 300


def installed(config: pytest.Config, name: str, package_json: Path) -> Path:
    """Return a folder of the cache with `node_modules`; the test is skipped where there is no npm.

    Args:
        config: Of this session.
        name: Of the folder.
        package_json: What to install.
    """
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm")
    assert config.cache is not None
    folder = config.cache.mkdir(name)
    wanted = package_json.read_text(encoding="utf-8")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes, one installation
        marker = folder / "installed.json"
        if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
            (folder / "package.json").write_text(wanted, encoding="utf-8")
            # With install scripts: one of them is what brings Node.js 22.
            subprocess.run(
                ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=INSTALL_TIMEOUT_S,
            )
            marker.write_text(wanted, encoding="utf-8")
    return folder


def beside(node_modules: Path, script: Path) -> Path:
    """Return a copy of a script that lies where its imports are looked up.

    Other test processes write and run the same one, so it is there whole or not at all.
    """
    copied = node_modules.parent / script.name
    written = copied.with_name(f".{script.name}.{os.getpid()}")
    written.write_bytes(script.read_bytes())
    return written.rename(copied)
