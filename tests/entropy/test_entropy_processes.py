"""Several processes over one store, really killed."""

import json
import os
import random
import time

import numpy as np
import pytest

from entropy import Store

PULSES = 64
BLOCK_BITS = PULSES * 256


def block(index: int) -> np.ndarray:
    """The bits that recorder.py gives its block `index`."""
    return np.random.default_rng(index).integers(0, 256, BLOCK_BITS // 8, dtype=np.uint8)


def taken_bits(lines: list[str]) -> list[tuple[str, int, bool, bool]]:
    """(buffer, bit, read, burned) of all that lease_taker.py said it got."""
    found = []
    for line in lines:
        said = json.loads(line)
        read = {(b, bit) for b, first, bits in said["read"] for bit in range(first, first + bits)}
        for buffer, first, bits in said["ranges"]:
            for bit in range(first, first + bits):
                found.append((buffer, bit, (buffer, bit) in read, said["burned"]))
    return found


def test_many_processes_leasing_at_once_get_every_bit_exactly_once(store, made, start):
    made.fill(store, [40, 41, 43], rotate_bytes=2500)
    total = store.accounts().recorded
    takers = [start("lease_taker.py", store.path, seed, "leave") for seed in range(5)]
    lines = []
    for taker in takers:
        out, err = taker.communicate(timeout=100)
        assert taker.returncode == 0, err
        lines += out.splitlines()
    spent = [(buffer, bit) for buffer, bit, read, burned in taken_bits(lines) if read or burned]
    assert len(spent) == len(set(spent)) == total
    accounts = store.accounts()
    assert accounts.balanced
    assert (accounts.free, accounts.leased) == (0, 0)
    burned = sum(burned for *_, burned in taken_bits(lines))
    assert accounts.burned == burned
    assert accounts.consumed == total - burned
    assert store.verify().ok


def test_a_follower_in_another_process_leases_what_a_recorder_just_committed(store, start):
    recorder = start("recorder.py", store.path, PULSES, 40, 0.01, 12 * BLOCK_BITS // 8)
    for index in range(40):
        with store.lease(BLOCK_BITS, purpose="follow", wait=60) as lease:
            np.testing.assert_array_equal(lease.read(BLOCK_BITS), block(index))
    _, err = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, err
    assert store.accounts().consumed == 40 * BLOCK_BITS
    assert store.accounts().free == 0
    assert len(store.buffers()) == 4
    assert all(info.complete for info in store.buffers())


def kill_a_writer(store, start, dice, *, followed: bool):
    """Kill a recorder at a random moment; every block that it said was committed is there, and right."""
    before = {info.uuid for info in store.buffers()}
    recorder = start("recorder.py", store.path, PULSES, 0, 0, 20 * BLOCK_BITS // 8)
    recording = recorder.stdout.readline().strip()
    for _ in range(dice.randrange(25)):
        recorder.stdout.readline()
    leased = 0
    if followed:
        with store.lease(BLOCK_BITS // 2, purpose="follow", wait=30) as lease:
            leased = len(lease.read(BLOCK_BITS // 2)) * 8
    time.sleep(dice.random() * 0.005)
    recorder.kill()
    said = [line for line in recorder.communicate()[0].splitlines() if line.strip()]
    mine = [info for info in store.buffers() if info.uuid not in before]
    assert {info.recording for info in mine} == {recording}
    blocks = [(info.uuid, index) for info in mine for index in range(info.blocks)]
    if said:
        assert len(blocks) >= int(said[-1]) + 1, "a committed block is missing"
    for number, (buffer, index) in enumerate(blocks):
        np.testing.assert_array_equal(store.read_block(buffer, index)[0], block(number))
    assert not any(info.live for info in mine)
    assert not mine[-1].complete or mine[-1].blocks == 20, "killed between two segments it may be"
    accounts = store.accounts()
    assert accounts.balanced
    return len(blocks) * BLOCK_BITS, leased


def writer_rounds(store, made, start, rounds, seed):
    dice = random.Random(seed)
    recorded = consumed = 0
    for turn in range(rounds):
        bits, leased = kill_a_writer(store, start, dice, followed=turn % 2 == 0)
        recorded, consumed = recorded + bits, consumed + leased
    made.fill(store, [3])  # a new recording needs no repair
    accounts = store.accounts()
    assert accounts.recorded == recorded + 3 * made.count
    assert (accounts.consumed, accounts.burned, accounts.leased) == (consumed, 0, 0)
    assert store.verify().ok, store.verify().problems


def test_kill_9_of_the_writer_loses_no_committed_block(store, made, start):
    writer_rounds(store, made, start, rounds=8, seed=None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_of_the_writer_loses_no_committed_block_a_hundred_times(store, made, start):
    writer_rounds(store, made, start, rounds=100, seed=None)


def owner_rounds(store, made, start, rounds):
    """Kill owners of leases at random moments; what they might have read is never free again."""
    dice = random.Random()
    made.fill(store, [400] * 6)
    total = store.accounts().recorded
    spent: set[tuple[str, int]] = set()
    for turn in range(rounds):
        mode = "hold" if turn % 2 else "leave"
        taker = start("lease_taker.py", store.path, turn, mode)
        lines = [taker.stdout.readline() for _ in range(1 if mode == "hold" else dice.randrange(1, 8))]
        time.sleep(dice.random() * 0.01)
        taker.kill()
        lines += taker.communicate()[0].splitlines()
        whole = [line for line in lines if line.endswith("}\n") or line.endswith("}")]
        read = [(buffer, bit) for buffer, bit, seen, burned in taken_bits(whole) if seen]
        assert len(read) == len(set(read))
        assert not spent & set(read), "a bit was handed out twice"
        spent |= set(read)
        accounts = store.accounts()
        assert accounts.balanced
        assert accounts.leased == 0
        assert accounts.recorded == total
        assert accounts.consumed + accounts.burned >= len(spent)
    left = store.accounts().free
    if left:  # a hundred takers may have taken everything
        with store.lease(left, purpose="rest") as lease:
            rest = {(b, bit) for b, first, bits in lease.ranges for bit in range(first, first + bits)}
            assert not rest & spent
            lease.read(lease.bits)
    assert store.accounts().free == 0
    assert store.verify().ok
    assert not list((store.path / "locks").glob("lease-*"))


def test_kill_9_of_a_lease_owner_burns_what_it_held(store, made, start):
    owner_rounds(store, made, start, rounds=10)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_of_a_lease_owner_burns_what_it_held_a_hundred_times(store, made, start):
    owner_rounds(store, made, start, rounds=100)


def test_opening_one_new_store_from_many_processes_makes_one_store(tmp_path, start):
    folder = tmp_path / "together"
    recorders = [start("recorder.py", folder, PULSES, 2, 0, 2**30) for _ in range(4)]
    for recorder in recorders:
        _, err = recorder.communicate(timeout=60)
        assert recorder.returncode == 0, err
    with Store(folder) as store:
        assert store.accounts().free == 4 * 2 * BLOCK_BITS
        assert len({info.recording for info in store.buffers()}) == 4
        assert store.verify().ok
        assert sorted(os.listdir(folder / "locks")) == ["open.lock"]
