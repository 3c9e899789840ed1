"""The conditioners, reading from memory, beside numpy, hashlib and what one would write without them; one core."""

import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks._entropy_rows import Row, side_by_side
from entropy import Conditioning, Toeplitz, conditioning_from_name

BITS = 1 << 26  # 8 blocks of the array board
CELLS = 4096
BLOCK = 1 << 23
FEW = 1 << 21  # for what is slow


class Memory:
    """Raw bits in memory, in the place of a lease: one block without failed resets."""

    def __init__(self, bits: int = BITS) -> None:
        data = np.random.default_rng(0).integers(0, 256, bits // 8, np.uint8)
        self._block: Any = SimpleNamespace(
            buffer="b", index=0, first_bit=0, data=data, bits=bits, valid=None, cells=CELLS
        )
        self.data, self._at, self._bits = data, 0, bits

    @property
    def remaining(self) -> int:
        """Bits left to read."""
        return self._bits - self._at

    def read(self, bits: int) -> np.ndarray:
        """Read packed bits; a copy, as a lease's."""
        first, self._at = self._at, self._at + bits
        return self.data[first // 8 : (first + bits) // 8].copy()

    def read_pieces(self, bits: int) -> list:
        """Read bits as one piece of the block."""
        first, self._at = self._at, self._at + bits
        return [(self._block, first, bits)]

    def rewound(self) -> "Memory":
        """Begin again."""
        self._at = 0
        return self


def _reading(name: str, memory: Memory) -> tuple[str, int, Any]:
    """Give the work of reading the memory through a conditioning, a block at a time, and how many raw bits it reads."""
    conditioning: Conditioning = conditioning_from_name(name)
    if conditioning.fixed_rate:
        unit = 1 << 16
        bits = unit * int(BLOCK * unit // conditioning.bits_in(unit) // unit)
    else:
        bits = int(0.9 * BLOCK * conditioning.rate(0.5))  # pyright: ignore[reportAttributeAccessIssue]

    def work() -> None:
        memory.rewound()
        for _ in range(BITS // BLOCK):
            conditioning.read(memory, bits)

    work()
    raw = BITS - memory.remaining
    return f"{name} ({raw / bits * BLOCK / BITS:.3g} bits in for 1)", raw, work


def _by_block(work: Callable[[np.ndarray], object], memory: Memory) -> Callable[[], None]:
    blocks = memory.data.reshape(BITS // BLOCK, -1)

    def works() -> None:
        for block in blocks:
            work(block)

    return works


def _sha256(data: np.ndarray) -> bytes:
    raw = data.data
    return b"".join([hashlib.sha256(raw[at : at + 64]).digest() for at in range(0, len(raw), 64)])


def _von_neumann(data: np.ndarray) -> np.ndarray:
    pairs = np.unpackbits(data).reshape(-1, 2, CELLS)
    return np.packbits(pairs[:, 0][pairs[:, 0] != pairs[:, 1]])


def rows(rounds: int = 5) -> list[Row]:
    """Measure every conditioner."""
    memory = Memory()
    matrix = Toeplitz().matrix.astype(np.float32).T.copy()
    few = memory.data[: FEW // 8]

    def naive() -> np.ndarray:
        bits = np.unpackbits(few).reshape(-1, len(matrix)).astype(np.float32)
        return np.packbits((bits @ matrix).astype(np.int32) & 1)

    def xor(block: np.ndarray) -> np.ndarray:
        return np.bitwise_xor(block[: len(block) // 2], block[len(block) // 2 :])

    beside = {
        "none": ("a copy by numpy", BITS, _by_block(np.copy, memory)),
        "xor2": ("numpy's bitwise_xor of two halves", BITS, _by_block(xor, memory)),
        "xor3": ("numpy's bitwise_xor of two halves", BITS, _by_block(xor, memory)),
        "mask": (
            "numpy's Philox alone",
            BITS,
            _by_block(lambda block: np.random.Philox(1).random_raw(len(block) // 8), memory),
        ),
        "von-neumann": ("numpy by unpacked bits", FEW, lambda: _von_neumann(few)),
        "peres": ("numpy by unpacked bits, von Neumann's alone", FEW, lambda: _von_neumann(few)),
        "toeplitz": ("numpy's product with the matrix", FEW, naive),
        "sha256": ("hashlib, 512 bits a digest", BITS, _by_block(_sha256, memory)),
    }
    found: list[Row] = []
    for name, other in beside.items():
        label, raw, work = _reading(name, memory.rewound())
        found += side_by_side(label, raw, work, other, rounds=rounds)
    return found
