"""Claims of min-entropy: only what an assessment supports is handed out, and who reads through which conditioning."""

import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from entropy import NotAssessed, NotEnoughBits, Store, StoreError, Toeplitz, Xor, adopt
from entropy.testing import change_ledger

from .conftest import states

VERSION_2 = Path(__file__).parent / "data" / "ledger-version-2.sql"


def test_only_bits_of_buffers_that_were_assessed_so_high_are_claimed(store, made):
    for seed in range(3):
        made.fill(store, [4], seed=seed)
    poor, good, unknown = (info.uuid for info in store.buffers())
    store.credit(poor, 0.7, bits=1000, basis="most common value")
    store.credit(good, 0.9, bits=1000, basis="most common value")
    with store.lease(1024, purpose="test", min_entropy=0.8) as lease:
        assert {item.buffer for item in lease.ranges} == {good}
        assert lease.min_entropy == lease.split(1, 8)[0].min_entropy == 0.8
        lease.read(100)
    with store.lease(1500, purpose="test", min_entropy=0.7) as lease:
        assert {item.buffer for item in lease.ranges} == {poor, good}
    with store.lease(1500, purpose="test") as lease:
        assert lease.min_entropy is None
    with pytest.raises(
        NotAssessed,
        match=r"^1,000 bits of min-entropy 0.8 were wanted and 924 are free in buffers that were assessed so high "
        r"\(2 assessed at 0.7 to 0.9, 1 not assessed\); run 'memtj assess', record more, or claim less$",
    ):
        store.lease(1000, purpose="test", min_entropy=0.8)
    with pytest.raises(NotAssessed, match=r"1 bits of min-entropy 0\.91 were wanted and 0 are free"):
        store.lease(1, purpose="test", min_entropy=0.91)
    assert store.accounts().consumed == 100
    assert [info.min_entropy for info in store.buffers()] == [0.7, 0.9, None]
    assert unknown not in {item.buffer for item in store.credits()}


def test_the_lowest_assessment_counts_and_none_is_forgotten(store, made):
    made.fill(store, [4])
    buffer = store.buffers()[0].uuid
    for found in (0.9, 0.6, 0.95):
        store.credit(buffer, found, bits=1000, basis=f"found {found}")
    with pytest.raises(NotAssessed, match=r"1 assessed at 0\.6\)"):
        store.lease(8, purpose="test", min_entropy=0.61)
    with Store(store.path) as other, other.lease(8, purpose="test", min_entropy=0.6) as lease:
        assert lease.bits == 8
    assert [(item.min_entropy, item.basis) for item in store.credits()] == [
        (0.9, "found 0.9"), (0.6, "found 0.6"), (0.95, "found 0.95")
    ]  # fmt: skip


def test_a_reservation_claims_for_its_leases(store, made):
    made.fill(store, [4])
    made.fill(store, [4], seed=1)
    one, two = (info.uuid for info in store.buffers())
    store.credit(two, 0.9, bits=1000, basis="test")
    with pytest.raises(NotAssessed, match="1,025 bits"):
        store.reserve(1025, purpose="job", min_entropy=0.9)
    with store.reserve(1000, purpose="job", min_entropy=0.9) as job, job.lease(400) as lease:
        assert {item.buffer for item in lease.ranges} == {two}
        assert lease.min_entropy == 0.9
        store.credit(two, 0.5, bits=1000, basis="a look from closer by")
        with pytest.raises(NotAssessed, match=r"200 bits of min-entropy 0\.9"):
            job.lease(200)
    assert one != two


def test_who_waits_with_a_claim_gets_bits_once_they_are_assessed(store, made, patience):
    made.fill(store, [4])
    buffer = store.buffers()[0].uuid

    def assess() -> None:
        with Store(store.path) as other:
            time.sleep(0.3)
            other.credit(buffer, 0.9, bits=1000, basis="while somebody waits")

    thread = threading.Thread(target=assess)
    thread.start()
    started = time.monotonic()
    with store.lease(1000, purpose="test", wait=30, min_entropy=0.9) as lease:
        assert lease.bits == 1000
        assert 0.2 < time.monotonic() - started < patience(20)
    thread.join()
    with pytest.raises(NotAssessed):
        store.lease(1000, purpose="test", wait=0.05, min_entropy=0.95)
    assert store.requests() == []


def test_withheld_bits_and_what_is_no_min_entropy_support_no_claim(store, made):
    made.fill(store, [4])
    buffer = store.buffers()[0].uuid
    store.credit(buffer, 0.9, bits=1000, basis="test")
    store.withhold(buffer, 0, 100, verdict="test")
    with pytest.raises(StoreError, match="withheld bits support no claim"):
        store.lease(8, purpose="test", withheld=True, min_entropy=0.5)
    for wrong in (-0.1, 1.1, float("nan")):
        for claim in (
            lambda wrong=wrong: store.lease(8, purpose="test", min_entropy=wrong),
            lambda wrong=wrong: store.reserve(8, purpose="test", min_entropy=wrong),
            lambda wrong=wrong: store.credit(buffer, wrong, bits=8, basis="test"),
        ):
            with pytest.raises(ValueError, match="from 0 to 1"):
                claim()
    with pytest.raises(StoreError, match="no buffer"):
        store.credit("nowhere", 0.9, bits=8, basis="test")
    assert store.accounts().free == 924


@pytest.mark.parametrize("value", ["'high'", "x'ff'", "7.0", "-1.0"])
def test_an_assessment_that_is_none_supports_nothing(store, made, value):
    made.fill(store, [4])
    store.credit(store.buffers()[0].uuid, 0.9, bits=1000, basis="test")
    store.close()
    change_ledger(
        store.path,
        f"INSERT INTO assessments SELECT 9, time, buffer, {value}, bits, basis FROM assessments",
    )
    with Store(store.path) as again, pytest.raises(NotAssessed, match="1 not assessed"):
        again.lease(8, purpose="test", min_entropy=0.1)


def test_a_claim_that_fails_travels_between_processes():
    error = pickle.loads(pickle.dumps(NotAssessed(10, 3, 0.9, "2 not assessed")))
    assert isinstance(error, NotEnoughBits)
    assert (error.wanted, error.available, error.min_entropy) == (10, 3, 0.9)
    assert "2 not assessed" in str(error)


def test_a_lease_is_read_through_its_own_conditioning_or_its_stores(store, made):
    bits = made.fill(store, [8, 8])
    with store.lease(64, purpose="test") as lease:
        assert lease.conditioning is None
        with pytest.raises(StoreError, match="no conditioning was chosen"):
            lease.read_conditioned(8)
    store.set_conditioning(Xor(2))
    with Store(store.path) as other:
        with other.lease(640, purpose="test") as lease:
            out = np.unpackbits(lease.read_conditioned(64))
        with other.lease(640, purpose="test", conditioning="sha256") as lease:
            assert str(lease.conditioning) == "Sha256(512)"
        with other.reserve(640, purpose="test", conditioning=Toeplitz(8, 16)) as job, job.lease(640) as lease:
            assert lease.conditioning is not None
            assert lease.conditioning.name == "toeplitz:8/16"
    words = bits[:128].reshape(2, 2, 32)
    np.testing.assert_array_equal(out, (words[:, 0] ^ words[:, 1]).ravel())
    store.set_conditioning(None)
    assert store.conditioning is None
    for call in (
        lambda: store.set_conditioning("x"),
        lambda: store.lease(8, purpose="test", conditioning="x"),
    ):
        with pytest.raises(StoreError, match="there is no conditioning 'x'"):
            call()


def test_a_ledger_of_version_2_is_brought_up_to_date(tmp_path, made):
    """The dump is of a store that version 2 wrote: leases consumed and burned, a reservation's, a verdict."""
    change_ledger(tmp_path, VERSION_2.read_text(encoding="utf-8"))
    adopt(tmp_path, moved=True)
    with Store(tmp_path) as store:
        assert states(store) == (2564, 0, 600, 100, 64)
        assert store.credits() == []
        made.fill(store, [4])
        buffer = store.buffers()[-1].uuid
        store.credit(buffer, 0.9, bits=1000, basis="test")
        with store.lease(100, purpose="test", min_entropy=0.9) as lease:
            assert lease.ranges[0].buffer == buffer
    with Store(tmp_path) as store:
        assert [info.min_entropy for info in store.buffers()] == [None, None, 0.9]


def test_a_store_that_names_no_conditioning_leases_nothing_and_burns_nothing(store, made):
    made.fill(store, [4])
    store._ledger.set_meta(conditioning="coin")
    with pytest.raises(StoreError, match=r"ledger.sqlite names no conditioning .*: choose one"):
        store.lease(8, purpose="test")
    store.set_conditioning("none")
    with store.lease(8, purpose="test") as lease:
        assert len(lease.read_conditioned(8)) == 1
    assert store.accounts().burned == 0
