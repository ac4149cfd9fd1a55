"""What is said of a module that has the name of another project's, and of a file that can't be imported."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kucoin_sync.internal.foreign import file_at_fault, other_module

NAME = "a_module_of_this_test"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules are imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    importlib.invalidate_caches()
    return tmp_path


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("path", [f"{NAME}.py", f"{NAME}/__init__.py", f"{NAME}/other.py"])
def test_another_module_is_named_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: str, imported: bool
) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("")
    if imported:
        monkeypatch.setitem(sys.modules, NAME, importlib.import_module(NAME))
    place = [str(folder / NAME)] if path.endswith("other.py") else folder / path
    said = other_module(NAME, "a-project")
    assert said is not None
    assert said.startswith(f"the module {NAME} is {place}, which is not that of a-project: rename it")
    assert f"pip uninstall {NAME}, then pip install --force-reinstall a-project" in said


def test_an_object_without_a_file_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, NAME, ModuleType(NAME))
    assert f"the module {NAME} is an object in sys.modules without a file" in str(other_module(NAME, "a-project"))


def test_where_there_is_none_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert other_module(NAME, "a-project") is None
    monkeypatch.setitem(sys.modules, NAME, None)  # type: ignore[arg-type]
    assert other_module(NAME, "a-project") is None


@pytest.mark.parametrize("source", ["raise RuntimeError", "raise SyntaxError", "1 +", "raise SystemExit"])
def test_the_file_at_fault_is_the_one_that_raises(folder: Path, source: str) -> None:
    (folder / f"{NAME}.py").write_text(source)
    with pytest.raises(BaseException) as caught:
        importlib.import_module(NAME)
    assert file_at_fault(caught.value) == str(folder / f"{NAME}.py")


def test_an_error_of_no_file_is_that_of_a_module() -> None:
    assert file_at_fault(RuntimeError()) == "a module"
