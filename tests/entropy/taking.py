"""Taking leases and saying so, and the book of what was said: which bit is with whom at every moment.

A taker says, each in one line that outlives its death: `got` with the ranges, once the lease is there and before
anything is read; `leaving` with what was read and its CRC-32, before the lease is left; `left` after that. So two
lines about one bit that do not fit, in the order of their times, mean that it was handed out twice.
"""

import json
import os
import random
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from known_bits import Found, KnownBits

from entropy import Lease, Portion

Ranges = Iterable[Sequence[Any]]


class Said:
    """Writes lines to a file; a line is with the operating system when `__call__` returns."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def __call__(self, **words: object) -> None:
        line = json.dumps({"time": time.monotonic_ns(), **words})
        os.write(self._descriptor, line.encode() + b"\n")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read what was said; a line that its writer could not end does not count."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


class Spoiled(Exception):
    """What burns a lease on purpose."""


def use(lease: Lease, dice: random.Random, say: Said) -> Iterator[str]:
    """Read a lease in one of several ways and leave it; yields what it is about to do."""
    yield "holding"
    say(say="got", lease=lease.uuid, ranges=lease.ranges)
    try:
        with lease:
            how = dice.choice((_read_all, _read_half, _read_portions))
            packed = how(lease, dice)
            burned = dice.random() < 0.2
            say(
                say="leaving", lease=lease.uuid, read=lease.read_ranges, burned=burned,
                crc=zlib.crc32(packed),
            )  # fmt: skip
            yield "settling"
            if burned:
                raise Spoiled
    except Spoiled:
        pass
    say(say="left", lease=lease.uuid)


def _read(source: Lease | Portion, bits: int) -> np.ndarray:
    return np.unpackbits(source.read(bits), count=bits)


def _read_all(lease: Lease, dice: random.Random) -> np.ndarray:
    return lease.read(lease.bits)


def _read_half(lease: Lease, dice: random.Random) -> np.ndarray:
    half = lease.bits // 2
    first = dice.randrange(half + 1)
    return np.packbits(np.concatenate([_read(lease, first), _read(lease, half - first)]))


def _read_portions(lease: Lease, dice: random.Random) -> np.ndarray:
    """Read portions in any order, some of them in part; the bits come in the order of the lease."""
    parts = lease.split(3, lease.bits // 4)
    pieces = {part: _read(part, dice.randrange(part.bits + 1)) for part in dice.sample(parts, 3)}
    rest = _read(lease, lease.remaining)
    return np.packbits(np.concatenate([*(pieces[part] for part in parts), rest]))


class Book:
    """Which bits are out: with somebody, read or burned; raises Found where one is handed out again."""

    def __init__(self) -> None:
        self._out: dict[str, np.ndarray] = {}

    def _stretch(self, buffer: str, first: int, bits: int) -> np.ndarray:
        known = self._out.get(buffer, np.zeros(0, bool))
        if len(known) < first + bits:
            known = self._out[buffer] = np.pad(known, (0, max(len(known), first + bits - len(known))))
        return known[first : first + bits]

    def take(self, ranges: Ranges, who: str) -> None:
        """Note bits that are out from now on; none of them may be out."""
        for buffer, first, bits in ranges:
            stretch = self._stretch(buffer, first, bits)
            if stretch.any():
                raise Found(f"{stretch.sum()} bits of {bits} from bit {first} of {buffer} again, to {who}")
            stretch[:] = True

    def give_back(self, ranges: Ranges) -> None:
        """Note bits that may be handed out again; all of them must be out."""
        for buffer, first, bits in ranges:
            stretch = self._stretch(buffer, first, bits)
            if not stretch.all():
                raise Found(f"bit {first} and others of {buffer} were given back and were not out")
            stretch[:] = False

    @property
    def total(self) -> int:
        """How many bits are out."""
        return sum(int(known.sum()) for known in self._out.values())

    def close_with(self, bits: dict[str, int], free: Ranges) -> int:
        """Take all that is not free for out, for good; returns how many of these bits nobody had spoken of.

        `bits`: of each buffer. Free bits that are out are found.
        """
        self.take(free, "whoever comes next, since they are free")
        before = self.total
        self._out = {buffer: np.ones(count, bool) for buffer, count in bits.items()}
        unspoken = sum(bits.values()) - before
        self.give_back(free)
        return unspoken


@dataclass
class Tally:
    """What became of bits by what takers said; `unsure`: consumed, or burned with all that their lease had."""

    leases: int = 0
    consumed: int = 0
    unsure: int = 0
    burned: int = 0


def replay(lines: Iterable[dict[str, Any]], book: Book, known: KnownBits) -> Tally:
    """Enter in the book what was said, and hold what was read against what was recorded."""
    tally = Tally()
    held: dict[str, Ranges] = {}
    leaving: dict[str, dict[str, Any]] = {}
    for line in sorted(lines, key=lambda line: line["time"]):
        name = line["lease"]
        if line["say"] == "got":
            tally.leases += 1
            held[name] = line["ranges"]
            book.take(held[name], f"lease {name}")
        elif line["say"] == "leaving":
            leaving[name] = line
            _leave(line, held[name], book, known)
        else:
            how = leaving.pop(name)
            _count(tally, how["read"], held.pop(name), how["burned"])
    for name, ranges in held.items():  # its owner was killed
        how = leaving.get(name)
        if how is None or how["burned"]:
            tally.burned += size(ranges)
        else:
            tally.unsure += size(how["read"])
    return tally


def size(ranges: Ranges) -> int:
    """Sum the bits of ranges."""
    return sum(bits for _, _, bits in ranges)


def _leave(line: dict[str, Any], ranges: Ranges, book: Book, known: KnownBits) -> None:
    if known.crc(line["read"]) != line["crc"]:
        raise Found(f"lease {line['lease']} read other bits than were recorded at {line['read']}")
    if not line["burned"]:
        book.give_back(ranges)
        book.take(line["read"], "the one that read it")


def _count(tally: Tally, read: Ranges, ranges: Ranges, burned: bool) -> None:
    if burned:
        tally.burned += size(ranges)
    else:
        tally.consumed += size(read)
