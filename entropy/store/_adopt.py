"""Making a store that was moved or copied usable where it lies now."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import StoreError
from ..ledger import BufferUpdate
from ..ledger._opening import look_at_ledger, open_ledger, stamp_in, stamp_of

if TYPE_CHECKING:
    import numpy as np


def adopt(path: str | os.PathLike[str], *, moved: bool, dry_run: bool = False) -> int:
    """Make a store that is found at another place than it was made for usable here; gives the bits that it burns.

    `moved=True`: the old place is gone, so free bits stay free. `moved=False`: this is a copy, so all bits that
    could still be had are burned here, since two copies would hand out the same ones. With `dry_run` nothing is
    changed, and the bits are those that it would burn. Raises StoreError where the store lies where it belongs.
    """
    folder = Path(path).absolute()
    opened = look_at_ledger(folder) if dry_run else open_ledger(folder, create=False)
    with contextlib.closing(opened) as ledger:
        if stamp_in(ledger) == stamp_of(folder):
            raise StoreError(f"{folder} lies where it belongs, so there is nothing to adopt: use it as it is")
        if moved:
            if not dry_run:
                ledger.set_meta(**stamp_of(folder))
            return 0
        updates = [
            BufferUpdate(record.id, _all_rows(folder / record.file, record.uuid), ended=True, complete=False)
            for record in ledger.buffers(following=True)
        ]
        if dry_run:
            ledger.update(updates)  # into the snapshot
            accounts = ledger.accounts()
            return accounts.free + accounts.leased + accounts.withheld
        burned = ledger.accounts().burned
        ledger.become_a_copy(updates, stamp_of(folder))
        return ledger.accounts().burned - burned


def _all_rows(path: Path, buffer: str) -> np.ndarray:
    from ..buffer._reader import BufferReader

    with contextlib.closing(BufferReader(path, buffer)) as reader:
        return reader.rows
