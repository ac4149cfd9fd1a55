"""Modules of other projects that can't be imported, or have the name of another project's module."""

from __future__ import annotations

import importlib.util
import sys
from traceback import walk_tb

__all__ = ["file_at_fault", "other_module"]


def other_module(name: str, project: str) -> str | None:
    """Return, as a sentence, which module has the name of a project's module; None if there is no such module.

    The caller knows that it is not the project's.
    """
    place = _place_of(name)
    if place is None:
        return None
    return (
        f"the module {name} is {place}, which is not that of {project}: rename it where it is your own file; where "
        f"another package has it, pip uninstall {name}, then pip install --force-reinstall {project}"
    )


def file_at_fault(error: BaseException) -> str:
    """Return the file in which an import has failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename
    files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return ([file for file in files if not file.startswith("<")] or ["a module"])[-1]


def _place_of(name: str) -> object:
    """Return where a module comes from, None if there is none."""
    module = sys.modules.get(name)
    if module is not None:
        places = getattr(module, "__file__", None) or list(getattr(module, "__path__", ()))
        return places or "an object in sys.modules without a file"
    found = importlib.util.find_spec(name)
    return found and (found.origin or list(found.submodule_search_locations or ()))
