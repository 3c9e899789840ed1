"""Many processes take leases of random size from one store while it is being recorded: FOLDER LEASES PROCESSES.

Afterwards every bit is accounted for, one by one; prints one line of JSON with the leases per second, exits 1 where
something was found. Run it with OPENBLAS_NUM_THREADS=1, since it forks.
"""

import argparse
import json
import math
import multiprocessing
import random
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from checking import what_is_free
from known_bits import Found, KnownBits, append_known, known_block, record_known
from taking import Book, Said, Tally, lines_of, replay, size, use

from entropy import Store

LARGEST_BLOCK = 1 << 18  # bits
LARGEST_LEASE = 300_000
ROTATE_BYTES = 2 << 20
AHEAD = 2_000_000  # bits that the recorder keeps free, so that takers sometimes wait for it

Context = multiprocessing.get_context("fork")


def record(folder: Path, over: Any) -> None:
    """Record as much as is taken, until nobody takes any more."""
    with Store(folder) as store, record_known(store, ROTATE_BYTES) as recording:
        sequence = 0
        while not over.is_set():
            if store.backlog()[0] > AHEAD:
                time.sleep(0.002)
                continue
            append_known(recording, sequence, *known_block(recording.uuid, sequence, LARGEST_BLOCK))
            sequence += 1


def take(folder: Path, said: Path, leases: int, seed: int, begin: Any) -> None:
    """Take leases whose sizes are spread evenly over the powers, and leave each in another way."""
    dice, say = random.Random(seed), Said(said)
    with Store(folder) as store:
        begin.wait(60)
        for _ in range(leases):
            bits = int(math.exp(dice.uniform(0, math.log(LARGEST_LEASE))))
            lease = store.lease(bits, purpose="many takers", wait=60)
            for _ in use(lease, dice, say):
                pass


def run(folder: Path, leases: int, processes: int, seed: int) -> tuple[float, list[dict[str, Any]]]:
    """Let `processes` take `leases` altogether; returns how many seconds it took, and what they said."""
    store, said = folder / "store", folder / "said"
    said.mkdir(parents=True)
    over, begin = Context.Event(), Context.Barrier(processes + 1)
    recorder = Context.Process(target=record, args=(store, over))
    shares = [leases // processes + (number < leases % processes) for number in range(processes)]
    takers = [
        Context.Process(target=take, args=(store, said / str(number), share, seed + number, begin))
        for number, share in enumerate(shares)
    ]
    for process in (recorder, *takers):
        process.start()
    begin.wait(60)
    began = time.perf_counter()
    for taker in takers:
        taker.join()
    seconds = time.perf_counter() - began
    over.set()
    recorder.join()
    codes = [process.exitcode for process in (recorder, *takers)]
    if any(codes):
        raise Found(f"the recorder and the takers ended with {codes}")
    return seconds, [line for path in said.iterdir() for line in lines_of(path)]


def check(folder: Path, lines: list[dict[str, Any]]) -> tuple[int, Tally]:
    """Account for every bit; returns how many were recorded and what became of those taken."""
    known, book = KnownBits(LARGEST_BLOCK), Book()
    with Store(folder / "store", create=False) as store:
        known.see(store)
        tally = replay(lines, book, known)
        accounts = store.accounts()
        told = (known.total, 0, tally.consumed, tally.burned, 0)
        if (
            accounts.recorded,
            accounts.leased,
            accounts.consumed,
            accounts.burned,
            accounts.withheld,
        ) != told:
            raise Found(f"{accounts}, and by what was recorded and said it is {told}")
        free = what_is_free(store, accounts.free)
        if book.close_with(known.bits, free) or size(free) != known.total - tally.consumed - tally.burned:
            raise Found("what is free and what was spent are not together what was recorded")
        report = store.verify()
        if not report.ok:
            raise Found("; ".join(report.problems))
    return known.total, tally


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("leases", type=int)
    parser.add_argument("processes", type=int)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    asked = parser.parse_args()
    found, seconds, recorded, tally = "", math.inf, 0, Tally()
    try:
        seconds, lines = run(asked.folder, asked.leases, asked.processes, asked.seed)
        recorded, tally = check(asked.folder, lines)
    except Found as error:
        found = str(error)
    told = {
        "leases": tally.leases, "processes": asked.processes, "seed": asked.seed, "found": found,
        "seconds": round(seconds, 1), "leases_per_second": round(asked.leases / seconds, 1),
        "recorded": recorded, "consumed": tally.consumed, "burned": tally.burned,
    }  # fmt: skip
    print(json.dumps(told))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
