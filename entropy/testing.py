"""What tests of programs that use a store need, ours and yours: recordings with given bits, whole stores of them.

Nothing here needs a test framework, and nothing of the product uses it. Settings of a recording and facts of a block
that a test does not care about are made up: a simulated array of cells in one row, a plausible working point.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .buffer._block_facts import BlockFacts
from .buffer._commanded import Commanded
from .buffer._format import CELL_DTYPE
from .buffer._recording import BlockCommit, Recording
from .buffer._recording_plan import RecordingPlan
from .ledger import Accounts
from .store._store import Store

_FACTS = BlockFacts(
    sequence=0, positions=0, pulses=0, host_time=1.7e9, board_time=0.5, voltage=1.2, width=1e-9, read_voltage=0.1,
    field=0.01, temperature=295.0,
)  # fmt: skip


def array_cells(count: int = 256) -> np.ndarray:
    """CELL_DTYPE of `count` cells in one row, 78 kΩ when parallel and twice that when antiparallel."""
    cells = np.zeros(count, CELL_DTYPE)
    cells["column"] = np.arange(count)
    cells["r_p"], cells["r_ap"], cells["threshold"] = 78e3, 156e3, 117e3
    return cells


def start_recording(store: Store, cells: int | np.ndarray = 256, **plan: Any) -> Recording:
    """Start a recording of so many cells, or of these (CELL_DTYPE); `plan`: fields of RecordingPlan."""
    made_up = {"bench": {"name": "test bench"}, "procedure": {"mode": "toggle"}, "simulated": True}
    each = array_cells(cells) if isinstance(cells, int) else cells
    return store.record(RecordingPlan(cells=each, **made_up | plan))


def append_bits(recording: Recording, bits: np.ndarray, **facts: Any) -> BlockCommit:
    """Commit a block of whole pulses, packed uint8, all of whose bits are usable; `facts`: fields of BlockFacts."""
    return recording.append(bits, 8 * len(bits), facts_of(recording, 8 * len(bits), **facts))


def append_outcomes(
    recording: Recording,
    outcomes: np.ndarray,
    usable: np.ndarray | None = None,
    actions: np.ndarray | None = None,
    commanded: Commanded | None = None,
    **facts: Any,
) -> BlockCommit:
    """Commit a block given by the outcome (uint8, 0 or 1) of every position of whole pulses.

    `usable`: alike, 0 where a position is to be left out, for which a failed reset stands; `actions`: ACTION_DTYPE;
    `commanded`: of draws; `facts`: fields of BlockFacts.
    """
    kept = outcomes if usable is None else outcomes[usable.astype(bool)]
    return recording.append(
        np.packbits(kept),
        len(kept),
        facts_of(recording, len(outcomes), **{"failed_resets": len(outcomes) - len(kept)} | facts),
        valid=None if usable is None else np.packbits(usable),
        actions=actions,
        commanded=commanded,
    )


def facts_of(recording: Recording, positions: int, **facts: Any) -> BlockFacts:
    """Give the facts of the next block of a recording, of so many positions; those that are not given are made up."""
    pulses = positions // len(recording.plan.cells)
    return replace(_FACTS, **{"sequence": recording.blocks, "positions": positions, "pulses": pulses} | facts)


def record_blocks(
    store: Store | str | os.PathLike[str],
    blocks: Iterable[np.ndarray],
    facts: Mapping[str, Any] = MappingProxyType({}),
    **plan: Any,
) -> Recording:
    """Record blocks as `append_bits` takes them into a store, or into one at that path, and close the recording.

    `facts`: fields of BlockFacts, the same for all; `plan`: as for `start_recording`. Gives the closed recording.
    """
    if not isinstance(store, Store):
        with Store(store) as opened:
            return record_blocks(opened, blocks, facts, **plan)
    with start_recording(store, **plan) as recording:
        for bits in blocks:
            append_bits(recording, bits, **facts)
    return recording


def sound_accounts(store: Store | str | os.PathLike[str]) -> Accounts:
    """The accounts of a store at rest, or of the one at that path; raises AssertionError where something is wrong.

    Every block must be there as it was recorded, every recorded bit accounted for, and none leased.
    """
    if not isinstance(store, Store):
        with Store(store, create=False) as opened:
            return sound_accounts(opened)
    report, accounts = store.verify(), store.accounts()
    assert report.ok, report.problems
    assert accounts.balanced, accounts
    assert (accounts.leased, accounts.recorded) == (0, report.bits), (
        f"{accounts}, and {report.bits} bits are there"
    )
    return accounts


def change_ledger(folder: str | os.PathLike[str], script: str) -> None:
    """Run SQL on the ledger of a store that is closed, its checks off: as a bad disk or another program would."""
    with contextlib.closing(sqlite3.connect(Path(folder) / "ledger.sqlite")) as db:
        db.executescript(f"PRAGMA ignore_check_constraints=ON; {script}")


def random_blocks(blocks: int, size: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Give so many blocks of `size` random bytes each, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(blocks):
        yield rng.integers(0, 256, size, np.uint8)
