"""What a recording amounted to: bits, rates, energy."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from entropy.quality.watch import WatchReport

from ..array import WorkingPoint
from ._one_screen import progress_text, summary_text


@dataclass(frozen=True, repr=False)
class RecordingProgress:
    """How far a recording is.

    `stage`: "preparing", "thresholds", "trims", "start-up test", "recording" or "reconnecting"; `bits`: usable bits in
    the store, of `wanted` (0 = until it is stopped); `bits_per_s`: since the first pulse of the recording, by the
    host's clock; `ones`: of the bits; `waiting`: consumers are behind, so the board is left to stall;
    `blocks_withheld`, `cells_failed`: by the health tests; `watch`: bias and correlations at the last look, None
    before the first; `p_held`: P that the servo expects now (NaN without one), `servo_shift`: volts by which it has
    moved all cells.
    """

    stage: str = "preparing"
    bits: int = 0
    wanted: int = 0
    blocks: int = 0
    ones: int = 0
    bits_per_s: float = 0.0
    waiting: bool = False
    blocks_withheld: int = 0
    cells_failed: int = 0
    watch: WatchReport | None = None
    p_held: float = float("nan")
    servo_shift: float = 0.0

    def __repr__(self) -> str:
        return progress_text(self)


@dataclass(frozen=True)
class EnergyPerBit:
    """Joules per usable bit, by term, as Joule heat in the junction.

    Estimated from settings and measured resistances: V²t/R of the write pulse, of the readings, and of the reset
    pulses (applied to cells that read antiparallel). The charging of leads and the board itself are not in it.
    """

    write: float
    read: float
    reset: float


@dataclass(frozen=True)
class HealthSummary:
    """What the health tests of a recording found (SP 800-90B section 4.4).

    `min_entropy_claimed` (bits per bit), `false_alarm_exponent` a (2^-a per sample or window) and the two cutoffs that
    follow; `cells_failed`: while it ran, not at its start; `blocks_withheld`, `bits_withheld`: of the blocks that
    failed; `tests_failed`: by name, "" where none did.
    """

    min_entropy_claimed: float
    false_alarm_exponent: float
    repetition_cutoff: int
    proportion_cutoff: int
    cells_failed: int
    blocks_withheld: int
    bits_withheld: int
    tests_failed: str


@dataclass(frozen=True, repr=False)
class RecordingSummary:
    """What a recording amounted to.

    `recording`: uuid in the store; `ones_fraction`, `lag1` (cells pooled, NaN where unknown) of the raw usable bits;
    `device_bits_per_s`: usable bits per second of the board's clock, stalls left out; `record_bits_per_s`: by
    the host's clock; `p_sw_mean`, `p_sw_spread` (standard deviation over cells) at tuning; `quarantined`: row,
    column and reason of each cell that is left out; `stalls`: times that the board waited for room in its FIFO,
    over all `acquisitions`; `reconnections`: lost connections that were had back, each with a new acquisition.
    Blocks: `lost_blocks` never arrived; `corrupt_blocks` stayed damaged and were left out; `fetched_again` arrived
    damaged at first; `duplicates` came twice and were dropped. `bits` and `blocks` count what is withheld too.
    `watch`: bias and correlations (start-up test and withheld blocks included), None where no block was recorded.
    `servo`: what held the working point ("off", "common", "cells"), by so many `servo_actions`; `servo_shift`: volts
    by which it has moved all cells, `cells_not_held`: used ones that did not follow their trims, or were tuned by the
    width of their pulse and are not held one by one.
    """

    recording: str
    mode: str
    simulated: bool
    bits: int
    blocks: int
    ones_fraction: float
    lag1: float
    failed_resets: int
    cells: int
    cells_used: int
    quarantined: tuple[tuple[int, int, str], ...]
    p_sw_mean: float
    p_sw_spread: float
    seconds: float
    record_bits_per_s: float
    device_bits_per_s: float
    stalls: int
    acquisitions: int
    reconnections: int
    lost_blocks: int
    corrupt_blocks: int
    fetched_again: int
    duplicates: int
    health: HealthSummary
    watch: WatchReport | None
    servo: str
    servo_actions: int
    servo_shift: float
    cells_not_held: int
    energy_per_bit: EnergyPerBit

    def __repr__(self) -> str:
        return summary_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON-able values; NaN becomes None."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def energy_per_bit(
    point: WorkingPoint,
    *,
    pulse_volts: np.ndarray,
    width: np.ndarray,
    r_p: np.ndarray,
    r_ap: np.ndarray,
    ones_fraction: float,
    usable_fraction: float,
) -> EnergyPerBit:
    """Estimate the energy per usable bit; arrays hold one value for each used cell, volts at the device.

    A toggle has one reading per pulse and starts in either state; the other sequence resets the cells that read
    antiparallel, reads twice, and starts parallel.
    """
    if not len(r_p) or not usable_fraction:
        return EnergyPerBit(float("nan"), float("nan"), float("nan"))
    parallel, antiparallel = 1 / r_p, 1 / r_ap
    either = ones_fraction * antiparallel + (1 - ones_fraction) * parallel
    start = either if point.toggle else parallel
    seen = either if point.toggle else either + parallel
    reset = point.reset_voltage**2 * point.reset_width * ones_fraction * float(antiparallel.mean())
    return EnergyPerBit(
        write=float((pulse_volts**2 * width * start).mean() / usable_fraction),
        read=float((point.read_voltage**2 * point.settle * seen).mean() / usable_fraction),
        reset=0.0 if point.toggle else float(reset / usable_fraction),
    )
