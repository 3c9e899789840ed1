"""Detects a foreign package that hides one of ours: our import names are generic."""

import importlib.util
from pathlib import Path

OURS = ("mock_hw", "drivers", "instruments", "entropy", "sampler")


def foreign_package() -> str | None:
    """Return a sentence that names the first package of ours that another one shadows, or None.

    InstrumentKit, for example, is imported as `instruments` too.
    """
    home = Path(__file__).resolve().parent.parent
    for name in OURS:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found != home / name:
            return (
                f"the package '{name}' of memtj is hidden by {found or 'a folder without code'}; "
                "install memtj into a virtual environment of its own and run it from another folder."
            )
    return None
