"""What a recording counts while it runs."""

import time

from ._block_writer import Written


class Tally:
    """What has been fetched and written so far."""

    def __init__(self, began: float = 0.0) -> None:
        self.began = self.last = began  # monotonic s: start, and the last block in the store
        self.fetched = self.delivered = 0  # usable bits that the board delivered, and blocks
        self.written = self.blocks = self.ones = self.positions = 0
        self.changed = self.pairs = self.failed_resets = 0
        self.acquisitions = 0
        self.told_lost = self.told_corrupt = 0  # blocks that a row has told of
        self.temperature, self.looked = float("nan"), 0.0
        self.fed = 0.0
        # Acquisition and sequence, board time, usable bits.
        self._before: tuple[tuple[int, int], float, int] | None = None
        self._timed_bits, self._timed_seconds = 0, 0.0
        self._computed_bits, self._computed_seconds = 0, 0.0

    def add(self, written: Written, pulse_seconds: float) -> None:
        """Count a block that is in the store; `pulse_seconds`: what a pulse takes by the board's clock."""
        block = written.block
        self.written += written.bits
        self.blocks += 1
        self.ones += written.ones
        self.positions += block.positions
        self.changed += written.delivered.usable.changed
        self.pairs += written.delivered.usable.pairs
        self.failed_resets += block.failed_resets
        self.last = time.monotonic()
        self._computed_bits += written.bits
        self._computed_seconds += block.pulses * pulse_seconds
        place = written.delivered.acquisition, block.sequence
        before, self._before = self._before, (place, block.time, written.bits)
        if before is not None and place == (before[0][0], before[0][1] + 1) and not block.stalled:
            self._timed_bits += before[2]
            self._timed_seconds += block.time - before[1]

    def rate(self) -> float:
        """Usable bits per second of the host's clock so far."""
        seconds = self.last - self.began
        return self.written / seconds if seconds > 0 else 0.0

    def device_rate(self) -> float:
        """Usable bits per second of the board's clock, stalls left out.

        From the board times of blocks that follow each other; where there is none, from the protocol's formula.
        """
        if self._timed_seconds > 0:
            return self._timed_bits / self._timed_seconds
        return self._computed_bits / self._computed_seconds if self._computed_seconds else float("nan")


def lag1(ones: float, bits: int, changed: int, pairs: int) -> float:
    """Estimate the lag-1 correlation of cells pooled: from the fractions of ones and of changes; NaN where unknown."""
    if not pairs or not 0 < ones < bits:
        return float("nan")
    mean = 2 * ones / bits - 1
    return ((1 - 2 * changed / pairs) - mean**2) / (1 - mean**2)
