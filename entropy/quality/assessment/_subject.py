"""What is assessed: the recorded bits of a store, or a file of bits; read without accounting, so nothing is spent."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from entropy._errors import NotEnoughBits, StoreError
from entropy.arguments import Count, takes
from entropy.buffer._pieces import Piece, gather, in_place
from entropy.buffer._stream import unplaced_piece
from entropy.store._store import Store

from ._bit_files import FORMS, load_bits


class Subject(Protocol):
    """Raw bits to assess.

    `name`: for people; `bits`: how many there are; `simulated`: whether a simulator made them, None where nothing
    says; `origin`: that in a sentence.
    """

    name: str
    bits: int
    simulated: bool | None
    origin: str

    def read(self, first: int, count: int) -> np.ndarray:
        """Read bits by their place in the sequence; uint8 of 0 and 1, (count,)."""
        ...

    def pieces(self, first: int, count: int) -> list[Piece]:
        """Read them as (block, first bit in it, bits), for conditioners that must know their cells."""
        ...

    def seconds(self, first: int) -> float | None:
        """Say when a bit was recorded, in seconds since the first one; None where nothing says."""
        ...


class StoreSubject:
    """The recorded bits of a store, or of one recording of it (`recording`: the beginning of its uuid will do).

    Raises StoreError where there are none, or where the buffers are of arrays with different numbers of cells.
    """

    def __init__(self, store: Store, recording: str | None = None) -> None:
        infos = [
            info for info in store.buffers() if info.place != "deleted" and info.blocks and not info.drawn
        ]
        if recording is not None:
            infos = [info for info in infos if info.recording.startswith(recording)]
            if len({info.recording for info in infos}) != 1:
                raise StoreError(
                    f"{store.path} has no recording {recording!r}, or several: 'memtj store ls --json' names them"
                )
        if not infos:
            raise StoreError(f"{store.path} has no recorded bits to assess: record first")
        self.store = store
        self.name = str(store.path)
        self.buffers = [info.uuid for info in infos]
        self.recordings = len({info.recording for info in infos})
        counts = {len(store.cells(buffer)) for buffer in self.buffers}
        if len(counts) > 1:
            raise StoreError(
                f"{store.path} holds recordings of arrays with {', '.join(map(str, sorted(counts)))} cells: choose one "
                "with --recording"
            )
        self.cells = counts.pop()
        self.rows = [store.rows(buffer) for buffer in self.buffers]
        self._starts = np.concatenate([[0], np.cumsum([int(rows["bits"].sum()) for rows in self.rows])])
        self._places = [(at, index) for at, rows in enumerate(self.rows) for index in range(len(rows))]
        sizes = np.concatenate([rows["bits"].astype(np.int64) for rows in self.rows])
        self._block_starts = np.concatenate([[0], np.cumsum(sizes)])
        self.bits = int(self._starts[-1])
        self.simulated: bool | None = any(info.simulated for info in infos)
        if not self.simulated:
            self.origin = "bits of a physical array, as the board declared it"
        elif all(info.simulated for info in infos):
            self.origin = "SIMULATED bits: a simulator made them, and they say nothing of a device"
        else:
            self.origin = "partly SIMULATED bits: choose one recording with --recording"
        self._firsts = [info.recording for info in infos]

    @takes(first=Count(), count=Count())
    def read(self, first: int, count: int) -> np.ndarray:
        """Read bits by their place in the sequence of all buffers."""
        return np.unpackbits(self.store.read(self._ranges(first, count)), count=count)

    @takes(first=Count(), count=Count())
    def pieces(self, first: int, count: int) -> list[Piece]:
        """Read them as pieces of blocks."""
        return self.store.recorded(self._ranges(first, count)).read_pieces(count)

    def _ranges(self, first: int, count: int) -> Iterator[tuple[str, int, int]]:
        if first + count > self.bits:
            raise NotEnoughBits(first + count, self.bits, "recorded")
        at = int(np.searchsorted(self._starts, first, side="right")) - 1
        while count:
            here = min(count, int(self._starts[at + 1]) - first)
            if here:
                yield self.buffers[at], first - int(self._starts[at]), here
            first, count, at = first + here, count - here, at + 1

    @takes(first=Count(), count=Count())
    def buffers_of(self, first: int, count: int) -> list[str]:
        """Name the buffers that hold these bits."""
        return [buffer for buffer, _, _ in self._ranges(first, count)]

    @takes(first=Count())
    def seconds(self, first: int) -> float | None:
        """Say by the host's clock when a bit came in; between two blocks by its place."""
        times = np.concatenate([rows["host_time"] for rows in self.rows])
        return float(np.interp(first, self._block_starts[:-1], times) - times[0])

    @takes(pulses=Count(1))
    def outcomes(self, pulses: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Give blocks spread evenly over the recording, `pulses` pulses in all or a little more.

        Each as outcomes and usable positions, uint8, (pulses, cells); None where all are usable.
        """
        counts = np.concatenate([rows["positions"].astype(np.int64) for rows in self.rows]) // self.cells
        wanted = min(len(counts), int(np.ceil(pulses / max(1.0, counts.mean()))))
        each = -(-pulses // wanted)
        for index in np.unique(np.linspace(0, len(counts) - 1, wanted).round().astype(int)):
            at, block = self._places[index]
            data, valid = self.store.read_block(self.buffers[at], block)
            positions = min(int(counts[index]), each) * self.cells
            if valid is None:
                yield np.unpackbits(data, count=positions).reshape(-1, self.cells), None
                continue
            usable = np.unpackbits(valid, count=positions)
            yield in_place(data, usable).reshape(-1, self.cells), usable.reshape(-1, self.cells)

    @takes(columns=Count(1))
    def starts(self, columns: int) -> np.ndarray:
        """Give the first `columns` bits of every recording that has so many: a matrix of restarts; uint8."""
        rows = []
        for _, group in itertools.groupby(range(len(self._firsts)), self._firsts.__getitem__):
            numbers = list(group)
            start, end = (int(self._starts[number]) for number in (numbers[0], numbers[-1] + 1))
            if end - start >= columns:
                rows.append(self.read(start, columns))
        return np.array(rows, np.uint8).reshape(-1, columns)


class FileSubject:
    """A plain file of bits.

    `form`: packed (first bit most significant), bytes (one 0 or 1 a byte, as numbers or as text), npy (an array of
    0 and 1, of any type of number), or None: it is looked at. Raises StoreError where it is missing, empty or
    something else, and where it does not look like packed bits though nothing says that it is anything else.
    """

    simulated: bool | None = None
    origin = "a plain file: nothing says whether its bits are simulated, or raw"

    def __init__(self, path: Path, form: str | None = None) -> None:
        self.name = str(path)
        if form is not None and form not in FORMS:
            raise StoreError(f"there is no form {form!r} of files: use {', '.join(FORMS)}")
        self.form, self._packed = load_bits(path, form)
        self.bits = len(self._packed) * (8 if self.form == "packed" else 1)

    @takes(first=Count(), count=Count())
    def read(self, first: int, count: int) -> np.ndarray:
        """Read bits by their place in the file."""
        if first + count > self.bits:
            raise NotEnoughBits(first + count, self.bits, "in the file")
        if self.form != "packed":
            return np.array(self._packed[first : first + count])
        part = np.unpackbits(np.asarray(self._packed[first // 8 : (first + count + 7) // 8]))
        return part[first % 8 : first % 8 + count]

    @takes(first=Count(), count=Count())
    def pieces(self, first: int, count: int) -> list[Piece]:
        """Give them as pieces of blocks whose bits are all of different cells: of a file's cells nothing is known."""
        return [unplaced_piece(self.name, first, np.packbits(self.read(first, count)), count)]

    @takes(first=Count())
    def seconds(self, first: int) -> None:
        """A file says nothing of times."""


class Reading:
    """Reads a subject from one place on, as a conditioner reads a lease; nothing is accounted."""

    def __init__(self, subject: Subject, first: int = 0) -> None:
        self._subject, self._at = subject, first

    @property
    def remaining(self) -> int:
        """Bits left to read."""
        return self._subject.bits - self._at

    def read(self, bits: int) -> np.ndarray:
        """Read packed bits."""
        return gather(self.read_pieces(bits), bits)

    def read_pieces(self, bits: int) -> list[Piece]:
        """Read pieces of blocks; raises NotEnoughBits at the end."""
        if bits > self.remaining:
            raise NotEnoughBits(bits, self.remaining, "left of what is assessed")
        pieces = self._subject.pieces(self._at, bits)
        self._at += bits
        return pieces
