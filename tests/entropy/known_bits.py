"""Blocks whose bits follow from their recording and their number, so that anybody can tell whether they are right."""

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np

from entropy import BufferInfo, Recording, Store
from entropy.testing import facts_of, start_recording


class Found(Exception):
    """Something is wrong with the store; the text says what."""


def known_block(recording: str, sequence: int, largest: int) -> tuple[int, np.ndarray]:
    """Give the number of bits (1 to `largest`) of a recording's block, and its packed bits."""
    drawn = hashlib.shake_128(f"{recording}/{sequence}".encode()).digest(8 + (largest + 7) // 8)
    count = 1 + int.from_bytes(drawn[:8]) % largest
    packed = np.frombuffer(drawn, np.uint8, (count + 7) // 8, 8).copy()
    packed[-1] &= 0xFF00 >> (count % 8 or 8) & 0xFF
    return count, packed


def record_known(store: Store, rotate_bytes: int) -> Recording:
    """Start a recording for known blocks."""
    return start_recording(store, 1, rotate_bytes=rotate_bytes)


def append_known(recording: Recording, sequence: int, count: int, packed: np.ndarray) -> None:
    """Commit a known block; every third has a mask, since positions are lost."""
    lost = sequence % 9 if sequence % 3 == 0 else 0
    mask = np.packbits(np.repeat(np.array([0, 1], np.uint8), [lost, count])) if lost else None
    facts = facts_of(recording, lost + count, sequence=sequence, failed_resets=lost)
    recording.append(packed, count, facts, valid=mask)


class KnownBits:
    """The bits of all buffers seen so far, by construction, against which blocks and reads are held."""

    def __init__(self, largest: int) -> None:
        self.total = 0
        self.bits: dict[str, int] = {}
        self.blocks: dict[str, int] = {}  # of each recording
        self.largest = largest
        self._packed: dict[str, np.ndarray] = {}

    def see(self, store: Store) -> None:
        """Hold every block of the buffers that are new against what it must be, and the others' sizes."""
        infos = store.buffers()
        lost = self.bits.keys() - {info.uuid for info in infos}
        if lost:
            raise Found(f"the buffers {lost} disappeared")
        for info in infos:
            if info.uuid not in self.bits:
                self._add(info)
            elif info.bits != self.bits[info.uuid]:
                raise Found(f"{info.path.name} had {self.bits[info.uuid]} bits and has {info.bits}")

    def _add(self, info: BufferInfo) -> None:
        """Read a buffer by h5py alone, so that what reads here is not what is tested."""
        with h5py.File(info.path, "r", swmr=True) as file:
            rows, packed = file["blocks"][:], file["bits"][:]
        first = self.blocks.get(info.recording, 0)
        bits = [np.empty(0, np.uint8)]
        for sequence, row in enumerate(rows, first):
            count, expected = known_block(info.recording, sequence, self.largest)
            at = int(row["first_byte"])
            if (row["sequence"], row["bits"]) != (sequence, count):
                raise Found(f"{info.path.name}: this is not the row of block {sequence}: {row}")
            if not np.array_equal(packed[at : at + len(expected)], expected):
                raise Found(f"{info.path.name}: block {sequence} has other bits than were recorded")
            bits.append(np.unpackbits(expected, count=count))
        joined = np.concatenate(bits)
        if (info.blocks, info.bits) != (len(rows), len(joined)):
            raise Found(f"{info.path.name}: {len(rows)} blocks, and the ledger says {info.blocks}")
        self.blocks[info.recording] = first + info.blocks
        self.bits[info.uuid], self._packed[info.uuid] = len(joined), np.packbits(joined)
        self.total += len(joined)

    def crc(self, ranges: Iterable[Sequence[Any]]) -> int:
        """Compute the CRC-32 of the packed bits of (buffer, first bit, bits), joined."""
        pieces = [np.empty(0, np.uint8)]
        for buffer, first, bits in ranges:
            packed = self._packed[buffer][first // 8 : (first + bits + 7) // 8]
            pieces.append(np.unpackbits(packed)[first % 8 : first % 8 + bits])
        return zlib.crc32(np.packbits(np.concatenate(pieces)))
