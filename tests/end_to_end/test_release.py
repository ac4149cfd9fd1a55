"""What is released can be installed, and its tests come with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest

from kucoin_sync import __version__

from ..support.readmes import ROOT

HEADINGS = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
#: What a folder of the project may hold that is not of the project.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "venv", ".*_cache", ".coverage*", ".hypothesis", "*.egg-info", "build", "dist"
)
#: A part of the tests that needs each kind of file: READMEs, settings, examples, tests of units.
PART = [
    "tests/test_layers.py",
    "tests/test_readme_facts.py",
    "tests/unit/topics",
    "tests/end_to_end/test_subscribing.py",
]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program that has to succeed; return what it printed."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, cwd=cwd, env={**outside, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_changelog_begins_with_this_version_and_its_date() -> None:
    version, day = HEADINGS[0].split()
    assert version == __version__
    assert date.fromisoformat(day.strip("()"))


@pytest.fixture(scope="module")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, in which it can be built without changing it."""
    copy = tmp_path_factory.mktemp("source") / "project"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    return copy


@pytest.fixture(scope="module")
def built(project_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source distribution and the wheel, which is built from it, by the end of their names."""
    pytest.importorskip("build", reason="build is not installed: pip install -e '.[dev]'")
    pytest.importorskip("twine", reason="twine is not installed: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation it takes the installed setuptools and needs no network.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=project_copy)
    assert files_in(folder) == {f"kucoin_sync-{__version__}.tar.gz", f"kucoin_sync-{__version__}-py3-none-any.whl"}
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def unpacked(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(built[".gz"]) as archive:
        archive.extractall(folder)
    return folder / f"kucoin_sync-{__version__}"


def required_by(release: Distribution) -> Iterator[Distribution]:
    """Yield the distributions that one requires, as they are installed here, and those that they require."""
    from packaging.requirements import Requirement  # build requires it

    for text in release.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed = distribution(requirement.name)
            yield needed
            yield from required_by(needed)


def copy_to(site_packages: Path, installed: Distribution) -> None:
    """Install what is installed here in another environment, too; pip would need a network."""
    for file in installed.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            target = site_packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), target)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_description_of_a_release_can_be_rendered(built: dict[str, Path], tmp_path: Path) -> None:
    told = run(sys.executable, "-m", "twine", "check", "--strict", *built.values(), cwd=tmp_path)
    assert told.count("PASSED") == 2


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [".whl", ".gz"])
def test_a_release_installs_and_runs_with_what_it_requires_and_no_more(
    kind: str, built: dict[str, Path], tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    [site_packages] = (tmp_path / "venv" / "lib").glob("*/site-packages")
    python, command = (tmp_path / "venv" / "bin" / name for name in ("python", "kucoin-sync"))
    metadata = PathDistribution(zipfile.Path(built[".whl"], f"kucoin_sync-{__version__}.dist-info/"))
    for needed in required_by(metadata):
        copy_to(site_packages, needed)
    if kind == ".gz":
        copy_to(site_packages, distribution("setuptools"))
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--no-index", "--no-build-isolation", built[kind], cwd=tmp_path)
    run(*pip, "check", cwd=tmp_path)
    assert run(command, "--version", cwd=tmp_path) == f"kucoin-sync {__version__}\n"
    assert "BTC-USDT" in run(command, "watch", "BTC-USDT", "--demo", "--count", "3", cwd=tmp_path)
    place = run(python, "-c", "import kucoin_sync; print(kucoin_sync.__file__)", cwd=tmp_path)
    assert Path(place.strip()) == site_packages / "kucoin_sync" / "__init__.py"
    assert (site_packages / "kucoin_sync" / "py.typed").exists()
    assert (site_packages / "pytest_kucoin_sync.py").exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_source_distribution_is_the_whole_project(project_copy: Path, built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = re.compile(r"PKG-INFO$|kucoin_sync\.egg-info/|.*\.pyc$")
    assert {name for name in names if not made.match(name)} == {
        name for name in files_in(project_copy) if not made.match(name)
    }
    assert not any(name.endswith(".pyc") for name in names)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_part_of_its_own_tests_passes_in_the_source_distribution(unpacked: Path) -> None:
    path = os.pathsep.join(map(str, (unpacked, unpacked / "kucoin_sync" / "testing" / "plugin")))
    shown = run(
        sys.executable, "-c", "import kucoin_sync; print(kucoin_sync.__file__)", cwd=unpacked.parent, PYTHONPATH=path
    )
    assert shown.startswith(str(unpacked))
    told = run(sys.executable, "-m", "pytest", "-q", "-n", "0", *PART, cwd=unpacked, PYTHONPATH=path)
    assert int(re.search(r"(\d+) passed", told)[1]) > 100  # type: ignore[index]
