"""The ledger as a file: an earlier version, and what no ledger holds."""

import os
from pathlib import Path

import numpy as np
import pytest

from entropy import DamagedLedger, Store, StoreError, adopt, verify
from entropy.testing import change_ledger

from .conftest import states

VERSION_1 = Path(__file__).parent / "data" / "ledger-version-1.sql"


def rewrite(store: Store, *statements: str) -> None:
    store.close()
    change_ledger(store.path, "; ".join(statements))


def test_a_ledger_of_version_1_is_brought_up_to_date_with_its_accounts(tmp_path, made):
    """The dump is of a store that version 1 wrote: leases consumed and burned, a verdict, two recordings."""
    change_ledger(tmp_path, VERSION_1.read_text(encoding="utf-8"))
    adopt(tmp_path, moved=True)
    with Store(tmp_path) as store:
        assert states(store) == (2664, 0, 500, 100, 64)
        assert [info.place for info in store.buffers()] == [None, None]
        made.fill(store, [4])
        with store.reserve(100, purpose="test") as job, job.lease(100) as lease:
            lease.read(100)
        assert sum(states(store)) == 3328 + 1024
    with Store(tmp_path) as store:
        assert states(store)[2] == 600


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER again AFTER UPDATE ON leases BEGIN UPDATE ranges SET state = 'free'; END",
        "CREATE VIEW sight AS SELECT * FROM ranges",
        "CREATE TABLE more (x)",
    ],
)
def test_what_no_ledger_holds_is_refused(store, made, statement):
    made.fill(store, [1])
    rewrite(store, statement)
    with pytest.raises(DamagedLedger, match=r"it holds the (trigger|view|table)"):
        Store(store.path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ranges SET bits = bits + 8",
        "UPDATE ranges SET bits = 'many'",
        "UPDATE ranges SET state = 'fre'",
        "UPDATE ranges SET first = first + 1",
        "UPDATE buffers SET bits = 100",
        "INSERT INTO ranges VALUES (99, 0, 8, 'free', NULL)",
        "DELETE FROM ranges",
        "DROP TABLE ranges",
    ],
)
def test_a_ledger_that_contradicts_itself_hands_nothing_out(store, made, statement):
    made.fill(store, [4])
    rewrite(store, statement)
    with pytest.raises(DamagedLedger, match="salvage"):
        Store(store.path)
    assert any("salvage" in problem for problem in verify(store.path).problems)


def test_a_buffer_whose_file_is_another_one_is_not_read(store, made):
    made.fill(store, [4])
    made.fill(store, [4], seed=1)
    one, two = (info.path for info in store.buffers())
    rewrite(
        store,
        "UPDATE buffers SET file = 'x' WHERE id = 1",
        f"UPDATE buffers SET file = '{one.name}' WHERE id = 2",
    )
    two.rename(store.path / "x")
    with Store(store.path) as again, pytest.raises(Exception, match="under this name"):
        with again.lease(8, purpose="test") as lease:
            lease.read(8)


@pytest.mark.parametrize("portions", [1, 2])
@pytest.mark.parametrize(
    ("index", "change"),
    [
        (0, "crc = crc + 1"),
        (1, "first_byte = first_byte + 32"),
        (63, "ones = ones - 1"),
        (64, "crc = crc + 1"),
        (150, "first_byte = first_byte - 32"),
    ],
)
def test_a_block_that_the_ledger_knows_otherwise_is_refused_and_withheld(
    store, made, change, index, portions
):
    """Copies of rows are fetched many at once: every block is held against its own, wherever the reading began."""
    bits = made.fill(store, [1] * 160)
    rewrite(store, f"UPDATE blocks SET {change} WHERE idx = {index}")
    half = made.count // 2
    read = 0

    def read_all(opened):
        nonlocal read
        with opened.lease(index * made.count + half, purpose="test") as lease:
            parts = lease.split(portions, lease.bits // portions)
            for _ in range(0, parts[0].bits, 64):
                for number, part in enumerate(parts):
                    first = number * part.bits + part.bits - part.remaining
                    count = min(64, part.remaining)
                    packed = part.read(count)
                    assert (np.unpackbits(packed)[:count] == bits[first : first + count]).all()
                    read += count

    with Store(store.path) as again:
        with pytest.raises(StoreError, match=f"block {index} is another one than the ledger has entered"):
            read_all(again)
        assert read <= index * made.count, "not a bit of the block came out"
        assert states(again)[3:] == (index * made.count + half, half)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("left_open", [True, False])
def test_a_store_is_opened_in_a_forked_child_only_if_none_was_open_at_the_fork(tmp_path, left_open, run):
    """SQLite would take the parent's locks for the child's, and both could take the same bits."""
    said = run("forked_opener.py", tmp_path / "s", int(left_open))
    if left_open:
        assert "forked while a store was open" in said
    else:
        assert said == "opened\n"
