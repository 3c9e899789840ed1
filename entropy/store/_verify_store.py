"""Checking the store in a folder, one whose ledger is damaged too."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .._errors import DamagedLedger, StoreError
from ..ledger import Ledger
from ._store import Store
from ._verify import VerifyReport
from ._verify import verify as verify_against


def verify(path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Read every block of a store and hold it against its row and the ledger; see `Store.verify`.

    A damaged ledger, with which no store opens, is a problem of the report here, and nothing of it is changed.
    `progress(done, total)` is called in bytes of `/bits`. Raises StoreError where there is no store.
    """
    try:
        with Store(path, read_only=True) as store:
            return store.verify(progress)
    except DamagedLedger as error:
        damage = str(error)
    folder = Path(path).absolute()
    try:
        with contextlib.closing(Ledger(folder, read_only=True)) as ledger:
            found = verify_against(folder, ledger, progress)
    except StoreError:  # so damaged that nothing can be held against it
        return VerifyReport([damage], [], 0, 0)
    return replace(found, problems=[damage, *found.problems])
