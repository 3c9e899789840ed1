"""Classes of a user's own, which a bench file names as `FILE.py:CLASS` beside itself; they need no package."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .._errors import BenchError

_MARK = ".py:"


@dataclass(frozen=True)
class OwnClass:
    """A class out of a file of the user's; `sha256`: of that file as it was run."""

    found: type
    file: Path
    sha256: str

    def __str__(self) -> str:
        return f"{self.found.__name__} of {self.file}, sha256 {self.sha256[:12]}"


def is_own(name: str) -> bool:
    """Say whether a name is that of a class in a file."""
    return _MARK in name


def own_class(name: str, folder: Path) -> OwnClass:
    """Run the file that `FILE.py:CLASS` names, from `folder` if it is relative, and give its class.

    A file that was run and has not changed is not run again. Raises BenchError where there is no such file or class,
    or the file raises.
    """
    if not is_own(name):
        raise BenchError(f"{name!r} names no class in a file: write FILE.py:CLASS")
    file, _, attribute = name.rpartition(":")
    path = (folder / file).resolve()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{name!r} cannot be read: {path}: {error.strerror or error}") from error
    digest = hashlib.sha256(content).hexdigest()
    found = getattr(_run(name, path, content, digest), attribute, None)
    if not isinstance(found, type):
        raise BenchError(f"{path} has no class {attribute!r}: correct {name!r}")
    return OwnClass(found, path, digest)


def _run(name: str, path: Path, content: bytes, digest: str) -> ModuleType:
    known = f"memtj_own_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}_{digest[:16]}"
    if known in sys.modules:
        return sys.modules[known]
    module = ModuleType(known)
    module.__file__ = str(path)
    sys.modules[known] = module  # dataclasses look their module up
    try:
        exec(compile(content, path, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[known]
        raise BenchError(f"{name!r} cannot be used: {path} raises {type(error).__name__}: {error}") from error
    except BaseException:
        del sys.modules[known]
        raise
    return module
