"""Names of a package that are imported when they are first asked for, by a module's `__getattr__` (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def later(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Give `__getattr__` and `__dir__` of a package whose `modules` (".module": "Name other_name") come later."""
    here = sys.modules[package].__dict__

    def __getattr__(name: str) -> Any:
        for module, names in modules.items():
            if name in names.split():
                here[name] = found = getattr(importlib.import_module(module, package), name)
                return found
            if name == module[1:]:
                return importlib.import_module(module, package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__, lambda: sorted({*here, *here["__all__"]})
