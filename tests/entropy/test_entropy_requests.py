"""Waiting in line and reservations: who is served, when, and what others are told."""

import threading
import time

import pytest

from entropy import NotEnoughBits, Store, StoreError


def in_thread(work):
    """Run `work` in a thread; gives a function that waits for its result, or raises what it raised."""
    result: list = []

    def run():
        try:
            result.append((work(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()

    def wait():
        thread.join(300)
        value, error = result[0]
        if error is not None:
            raise error
        return value

    return wait


def test_who_waits_is_served_when_enough_has_come_and_leaves_the_queue(store, made, wait_until):
    made.fill(store, [1])
    with Store(store.path) as other:
        waiting = in_thread(lambda: other.lease(3 * made.count, purpose="patient", wait=20))
        wait_until(store.requests)
        (request,) = store.requests()
        assert (request.kind, request.purpose, request.outstanding) == ("waiting", "patient", 3 * made.count)
        made.fill(store, [3], seed=1)
        with waiting() as lease:
            assert lease.bits == 3 * made.count
        assert store.requests() == []
        assert not list((store.path / "locks").glob("request-*"))


def test_small_requests_do_not_starve_a_large_one(store, made, wait_until):
    made.fill(store, [2])
    with Store(store.path) as other:
        waiting = in_thread(lambda: other.lease(4 * made.count, purpose="large", wait=20))
        wait_until(store.requests)
        with pytest.raises(
            NotEnoughBits, match=r"0 are free in the store beside 1,024 promised.*'large' 1,024"
        ):
            store.lease(8, purpose="small")
        made.fill(store, [2], seed=1)
        large = waiting()
        with pytest.raises(NotEnoughBits, match="0 are free in the store;"):
            store.lease(8, purpose="small")
        large.close()
        assert store.lease(8, purpose="small").bits == 8


def test_those_who_wait_are_served_in_the_order_of_asking(store, made, patience, wait_until):
    with Store(store.path) as first, Store(store.path) as second:
        one = in_thread(lambda: first.lease(2 * made.count, purpose="one", wait=20))
        wait_until(lambda: len(store.requests()) == 1)
        two = in_thread(lambda: second.lease(made.count, purpose="two", wait=patience(0.3)))
        wait_until(lambda: len(store.requests()) == 2)
        assert store.backlog() == (0, 3 * made.count)
        made.fill(store, [2])
        assert one().bits == 2 * made.count
        with pytest.raises(NotEnoughBits):
            two()
    assert store.requests() == []


def test_time_over_says_how_much_there_was_and_leaves_no_trace(store, made, patience):
    made.fill(store, [1])
    began = time.monotonic()
    with pytest.raises(NotEnoughBits, match=r"1,000 bits were wanted and 256 are free in the store"):
        store.lease(1000, purpose="test", wait=0.2)
    assert 0.2 <= time.monotonic() - began < patience(5)
    assert store.requests() == []
    assert store.lease(256, purpose="test").bits == 256


def test_a_reservation_is_kept_and_what_is_left_unread_comes_back_to_it(store, made):
    made.fill(store, [4])
    with store.reserve(1000, purpose="job") as job:
        assert (job.bits, job.remaining) == (1000, 1000)
        with pytest.raises(NotEnoughBits, match=r"24 are free in the store beside 1,000 promised"):
            store.lease(25, purpose="other")
        with store.lease(24, purpose="other") as other:
            other.read(24)
        with job.lease(600) as lease:
            lease.read(200)
        assert job.remaining == 800
        with job.lease(800) as lease:
            lease.read(800)
        assert job.remaining == 0
        with pytest.raises(NotEnoughBits, match="left of the reservation"):
            job.lease(1)
    assert store.accounts().consumed == 1024
    with pytest.raises(StoreError, match="is over"):
        job.lease(1)


def test_a_reservation_that_cannot_be_met_is_refused_at_once(store, made):
    made.fill(store, [4])
    with store.reserve(1000, purpose="first"):
        with pytest.raises(NotEnoughBits, match=r"100 bits were wanted and 24 are free.*'first' 1,000"):
            store.reserve(100, purpose="second")
    with store.reserve(1024, purpose="third"):
        pass


def test_a_reservation_builds_on_what_a_running_recording_will_bring(store, made, wait_until):
    with made.recording(store, expected_bits=4 * made.count) as record:
        made.append(record, made.cells()["column"] % 2)
        with pytest.raises(
            NotEnoughBits, match=r"1,024 are free in the store or coming from running recordings"
        ):
            store.reserve(4 * made.count + 1, purpose="too much")
        with Store(store.path) as other, other.reserve(4 * made.count, purpose="job") as job:
            waiting = in_thread(lambda: job.lease(3 * made.count, wait=20))
            wait_until(lambda: store.backlog() == (made.count, 3 * made.count))
            with pytest.raises(NotEnoughBits):
                store.lease(1, purpose="other")
            for _ in range(3):
                made.append(record, made.cells()["column"] % 2)
            assert waiting().bits == 3 * made.count
            assert job.remaining == made.count
            assert store.backlog() == (made.count, 0)
    with pytest.raises(NotEnoughBits, match=r"beside|free in the store;"):
        store.reserve(5 * made.count, purpose="after the end nothing comes")


def test_a_recording_without_an_end_meets_any_reservation(store, made):
    with made.recording(store), store.reserve(10**12, purpose="trust") as job:
        with pytest.raises(NotEnoughBits):
            job.lease(8)
        with pytest.raises(NotEnoughBits):
            job.lease(8, wait=0.05)


def test_the_dead_wait_for_nothing_and_hold_no_promise(store, made, start):
    made.fill(store, [4])
    holder = start("reserver.py", store.path, 1000)
    assert holder.stdout.readline().strip() == "reserved"
    with pytest.raises(NotEnoughBits):
        store.lease(100, purpose="other")
    holder.kill()
    holder.wait()
    assert store.lease(1024, purpose="other").bits == 1024
    assert store.requests() == []


def test_closing_the_store_ends_its_promises(store, made):
    made.fill(store, [4])
    other = Store(store.path)
    other.reserve(1000, purpose="job")
    other.close()
    assert store.lease(1024, purpose="test").bits == 1024


@pytest.mark.parametrize("bits", [0, -5])
def test_nothing_cannot_be_reserved(store, bits):
    with pytest.raises(ValueError, match="bits is a whole number from 1 up"):
        store.reserve(bits, purpose="test")
