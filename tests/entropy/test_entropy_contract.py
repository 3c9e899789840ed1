"""What every ledger of bits and every store of them must do; another implementation is one more of LEDGERS or STORES.

A ledger is opened several times at once, as by several processes, and its owners can die.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from entropy import BLOCK_DTYPE, NotEnoughBits, Store, StoreError
from entropy.ledger import BitLedger, BufferUpdate, Ledger
from entropy.store._protocol import BitStore

from .conftest import states

BLOCKS = (400, 300, 300)  # bits; the last one is unhealthy


@dataclass(eq=False)
class MarksInMemory:
    """Who lives, as somebody knows who is asked by all: what a lease over a network would be."""

    alive: set[tuple[str, str]] = field(default_factory=set)

    def hold(self, kind: str, name: str) -> "MarkInMemory":
        self.alive.add((kind, name))
        return MarkInMemory(self, (kind, name))

    def is_dead(self, kind: str, name: str) -> bool:
        return (kind, name) not in self.alive

    def forget(self, kind: str, name: str) -> None:
        pass

    def sweep(self) -> None:
        pass


@dataclass(eq=False)
class MarkInMemory:
    marks: MarksInMemory
    owner: tuple[str, str]

    def release(self, *, remove: bool = False) -> None:
        self.marks.alive.discard(self.owner)


def with_file_locks(folder: Path) -> Callable[[], BitLedger]:
    (folder / "locks").mkdir()
    return prepared(folder, lambda: Ledger(folder))


def with_marks_in_memory(folder: Path) -> Callable[[], BitLedger]:
    marks = MarksInMemory()
    return prepared(folder, lambda: Ledger(folder, liveness=marks))


def prepared(folder: Path, opened: Callable[[], Ledger]) -> Callable[[], Ledger]:
    ledger = opened()
    ledger.prepare({"machine": "here", "path": str(folder)})
    ledger.close()
    return opened


LEDGERS = [with_file_locks, with_marks_in_memory]


@pytest.fixture(params=LEDGERS)
def ledgers(request, tmp_path):
    """Two openings of a ledger that has 700 free bits and 300 withheld ones."""
    opened = request.param(tmp_path)
    one = opened()
    (tmp_path / "a.h5").touch()
    one.register(
        {"uuid": "a", "file": "a.h5", "recording": "r", "segment": 0, "created": "2026", "simulated": 1,
         "conditioning": "none"}
    )  # fmt: skip
    one.update([rows_of_a()])
    two = opened()
    yield one, two
    one.close()
    two.close()


def rows_of_a() -> BufferUpdate:
    rows = np.zeros(len(BLOCKS), BLOCK_DTYPE)
    rows["bits"] = BLOCKS
    rows["first_byte"] = np.cumsum([0, *((np.array(BLOCKS[:-1]) + 7) // 8)])
    rows["health"][-1] = 1
    return BufferUpdate(1, rows, ended=True, complete=True)


def test_rows_are_entered_once_whoever_brings_them(ledgers):
    for ledger in ledgers:
        ledger.update([rows_of_a()])
        assert states(ledger) == (700, 0, 0, 0, 300)
        assert [copy[1] for copy in ledger.block_copies(1)] == list(BLOCKS)
        (record,) = ledger.buffers()
        assert (record.blocks, record.bits, record.ended) == (3, 1000, 1)


def test_no_bit_is_leased_twice_and_too_few_take_none(ledgers):
    one, two = ledgers
    first, second = one.lease(300, "first"), two.lease(200, "second")
    bits = [
        at
        for taken in (first, second)
        for item in taken.ranges
        for at in range(item.first, item.first + item.bits)
    ]
    assert len(bits) == len(set(bits)) == 500
    assert [lease.purpose for lease in two.open_leases()] == ["first", "second"]
    with pytest.raises(NotEnoughBits) as caught:
        one.lease(201, "third")
    assert (caught.value.wanted, caught.value.available) == (201, 200)
    assert states(two) == (200, 500, 0, 0, 300)


def test_what_was_read_is_consumed_and_the_rest_is_free_again_or_all_is_burned(ledgers):
    one, two = ledgers
    left, burned = one.lease(300, "left"), one.lease(200, "burned")
    read = [item._replace(bits=100) for item in left.ranges[:1]]
    one.settle(left.id, read, burn=False)
    one.settle(burned.id, (), burn=True)
    assert states(two) == (400, 0, 100, 200, 300)
    assert {state for first, bits, state in two.ranges(1) if first == read[0].first} == {"consumed"}
    with pytest.raises(StoreError, match="taken for dead"):
        one.settle(burned.id, burned.ranges, burn=False)
    assert states(two) == (400, 0, 100, 200, 300)


def test_what_the_dead_had_leased_is_burned_and_what_they_were_promised_is_others(ledgers):
    one, two = ledgers
    lease, alive, promise = one.lease(100, "dying"), one.lease(50, "alive"), one.reserve(550, "dying", 0)
    two.reap()
    assert states(two) == (550, 150, 0, 0, 300)
    with pytest.raises(NotEnoughBits):
        two.lease(1, "other")
    for owner in (lease, promise):
        owner.mark.release()  # without a word to the ledger
    two.reap()
    assert states(two) == (550, 50, 0, 100, 300)
    assert two.requests() == []
    assert two.lease(550, "other").id not in (lease.id, alive.id)
    with pytest.raises(StoreError, match="taken for dead"):
        one.settle(lease.id, lease.ranges, burn=False)


def test_who_asked_first_is_served_first(ledgers):
    one, two = ledgers
    first, second = one.reserve(400, "first", 0), two.wait_in_line(250, "second")
    assert [request.purpose for request in one.requests()] == ["first", "second"]
    assert two.might_serve(250, second)
    one.lease(150, "first", ticket=first)
    assert [request.outstanding for request in two.requests()] == [250, 250]
    for bits, ticket in ((51, None), (301, second)):
        with pytest.raises(NotEnoughBits, match="promised"):
            two.lease(bits, "too many", ticket=ticket)
    two.lease(250, "second", ticket=second)
    two.withdraw(second)
    one.set_waiting(first, 250)
    assert [request.waiting for request in two.requests()] == [250]
    one.withdraw(first)
    assert (two.free(), two.requests()) == (300, [])


def test_withheld_bits_are_leased_by_name_only(ledgers):
    one, two = ledgers
    assert one.withhold(1, 0, 500, "odd") == 500
    with pytest.raises(NotEnoughBits):
        two.lease(201, "free")
    taken = two.lease(800, "withheld", True)
    two.settle(taken.id, (), burn=False)
    assert states(one) == (200, 0, 0, 0, 800)
    assert one.release(1, 100, 500, "not so odd") == 400
    assert states(two) == (600, 0, 0, 0, 400)


# --- stores


STORES: list[Callable[[Store], BitStore]] = [lambda store: store, lambda store: Store(store.path)]


@pytest.fixture(params=STORES, ids=["the one that recorded", "another opening"])
def lender(request, store, made):
    """A store of 1,024 bits, and those bits."""
    bits = made.fill(store, [3, 1])
    return request.param(store), bits


def test_a_lease_is_read_in_order_once_and_again_for_replay(lender):
    store, bits = lender
    with store.lease(1000, purpose="contract") as lease:
        read = np.concatenate([np.unpackbits(lease.read(8 * size)) for size in (1, 20, 60)])
        ranges = lease.read_ranges
        assert (lease.remaining, lease.bits) == (1000 - len(read), 1000)
        assert lease.ranges[0].first == 0
    np.testing.assert_array_equal(read, bits[: len(read)])
    again = store.recorded(ranges)
    np.testing.assert_array_equal(np.unpackbits(again.read(again.bits)), read)
    assert states(store) == (376, 0, 648, 0, 0)


def test_a_lease_that_fails_is_burned_and_its_bits_are_found_again(lender):
    store, bits = lender
    lease = store.lease(64, purpose="contract")
    lease.read(8)
    lease.burn()
    assert store.accounts().burned == 64
    again = store.recorded(store.burned("contract"))
    np.testing.assert_array_equal(np.unpackbits(again.read(64)), bits[:64])
    with pytest.raises(StoreError):
        lease.read(8)


def test_no_lease_gets_a_bit_of_another_and_the_last_says_what_is_left(lender):
    store, bits = lender
    with store.lease(512, purpose="one") as one, store.lease(256, purpose="two") as two:
        read = [np.unpackbits(lease.read(lease.bits)) for lease in (one, two)]
        with pytest.raises(NotEnoughBits) as caught:
            store.lease(257, purpose="three", wait=0.01)
        assert (caught.value.wanted, caught.value.available) == (257, 256)
    np.testing.assert_array_equal(np.concatenate(read), bits[:768])
