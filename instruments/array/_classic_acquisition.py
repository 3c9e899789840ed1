"""One acquisition of a junction that the host pulses and reads by itself: blocks of bits, some pulses a call."""

import time

import numpy as np

from ._block import Block
from ._classic_pulser import ClassicPulser

_PATIENCE = 0.2  # s after which a call comes back, its block whole or not


class ClassicAcquisition:
    """Gives `pulses` pulses (0 = without end) and hands out blocks of `per_block`; the output must be on.

    A bit is 1 where the reading after the write pulse is above the threshold. A reset whose check is above it too has
    failed: that outcome is not valid. A block that an abort finds unfinished is lost.
    """

    def __init__(
        self, pulser: ClassicPulser, toggle: bool, threshold: float, pulses: int, per_block: int
    ) -> None:
        self.ended = False
        self._pulser, self._toggle, self._threshold = pulser, toggle, threshold
        self._left, self._endless, self._per_block = pulses, pulses == 0, per_block
        self._sequence = 0
        self._began = 0.0
        self._bits: list[bool] = []
        self._valid: list[bool] = []

    def __next__(self) -> Block | None:
        """Go on with a block; None where it is not whole yet. Raises BenchError, that output off, where a box fails."""
        if self.ended:
            raise StopIteration
        start, before = time.monotonic(), len(self._bits)
        self._began = self._began if before else start
        wanted = self._per_block if self._endless else min(self._per_block, before + self._left)
        while len(self._bits) < wanted and time.monotonic() - start < _PATIENCE:
            self._pulse()
        given = len(self._bits) - before
        self._pulser.count(given, time.monotonic() - start)
        self._left -= given
        return self._block() if len(self._bits) == wanted else None

    def abort(self) -> None:
        """End it: no pulse comes that is not asked for."""
        self.ended = True

    def _pulse(self) -> None:
        pulser, threshold = self._pulser, self._threshold
        failed = not self._toggle and pulser.last() > threshold and pulser.reset() > threshold
        self._bits.append(pulser.write() > threshold)
        self._valid.append(not failed)

    def _block(self) -> Block:
        bits, valid = np.packbits(self._bits), np.packbits(self._valid)
        count, failed = len(self._bits), self._valid.count(False)
        block = Block(
            self._sequence, count, 1, self._began, bits, valid if failed else None, failed_resets=failed
        )
        self._sequence += 1
        self._bits, self._valid = [], []
        self.ended = not self._endless and not self._left
        return block
