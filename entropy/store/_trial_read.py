"""Whether a store's free bits can be read through a conditioning, tried before any of them is spent."""

import contextlib

from .._errors import NotEnoughBits, SharedCells, StoreError
from ..conditioning import Conditioning
from ._store import Store


def check_conditioning(store: Store, conditioning: Conditioning) -> None:
    """Raise SharedCells where free bits of the store cannot be read through `conditioning`; spends none.

    The first unit of each buffer with free bits is read without accounting, once for each number of cells.
    """
    seen: set[int] = set()
    for buffer, first, bits in store.free_stretches():
        with contextlib.suppress(NotEnoughBits):
            try:
                cells = len(store.cells(buffer))
                wanted = conditioning.bits_in(conditioning.unit)
                if cells in seen or wanted > bits or not conditioning.fixed_rate:
                    continue
                seen.add(cells)
                conditioning.read(store.recorded([(buffer, first, wanted)]), conditioning.unit)
            except SharedCells:
                raise
            except StoreError:
                continue  # what is damaged or missing is the lease's to find
