"""The dashboard's own checks and tests, and that the wheel carries what was built."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.browser import site
from tests.frontend.test_package import run

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm"),
]

DASHBOARD = site.CLIENT / "dashboard"
BUILT = site.ROOT / "agent_worker" / "gateway" / "dashboard"


@pytest.fixture(scope="module")
def package() -> Path:
    """The dashboard's sources with what their lock file names, built within the budget of 200 kB."""
    site.build_dashboard()
    site.install(DASHBOARD)
    return DASHBOARD


def test_types_and_style_are_in_order(package: Path) -> None:
    run(package, "run", "check")


def test_what_it_decides_without_a_browser_holds(package: Path) -> None:
    run(package, "test")


def test_no_page_needs_an_exception_from_a_content_security_policy(package: Path) -> None:
    page = (BUILT / "index.html").read_text(encoding="utf-8")

    assert page.count("<script") == page.count('<script type="module" crossorigin src="./assets/') == 1
    assert "style=" not in page
    assert "data:" not in page


def test_the_frame_is_painted_from_one_answer(package: Path) -> None:
    page = (BUILT / "index.html").read_text(encoding="utf-8")

    assert page.count("<style>") == 1
    assert 'rel="stylesheet"' not in page
    assert "url(" not in page
    assert list(BUILT.rglob("*.css")) == []


def test_each_file_lies_there_in_the_forms_that_browsers_take(package: Path) -> None:
    files = [file for file in BUILT.rglob("*") if file.is_file() and file.suffix not in (".br", ".gz")]
    assert files
    for file in files:
        assert gzip.decompress(file.with_name(file.name + ".gz").read_bytes()) == file.read_bytes()
        assert file.with_name(file.name + ".br").is_file()


def test_the_wheel_carries_it(package: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(site.ROOT),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr

    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    files = {file.relative_to(site.ROOT).as_posix() for file in BUILT.rglob("*") if file.is_file()}
    assert files
    assert files <= names
