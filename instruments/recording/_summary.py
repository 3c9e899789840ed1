"""What a recording amounted to, and how far it is: values that print as at most 24 lines of 80 columns."""

import math
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from pymeasure.units import ureg

from entropy.quality.watch import WatchReport

from ._energy import EnergyPerBit

_LOSSES = (
    "failed_resets",
    "stalls",
    "reconnections",
    "lost_blocks",
    "corrupt_blocks",
    "fetched_again",
    "duplicates",
)
_WIDTH, _LABEL, _MOST_LINES = 79, 16, 3


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
        return _progress_text(self)


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
        return _summary_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON-able values; NaN becomes None."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _summary_text(summary: RecordingSummary) -> str:
    """Say what a recording amounted to."""
    energy, happened = summary.energy_per_bit, [name for name in _LOSSES if getattr(summary, name)]
    lines = {
        "recording": f"{summary.recording or 'none'}{' (simulated)' if summary.simulated else ''}, mode {summary.mode}",
        "bits": f"{summary.bits:,} in {summary.blocks:,} blocks in {_si(summary.seconds, 's')}; "
        f"P(1) {summary.ones_fraction:.5f}, lag-1 {summary.lag1:+.5f}",
        "rates": f"{_si(summary.device_bits_per_s, 'bit/s')} by the board's clock, "
        f"{_si(summary.record_bits_per_s, 'bit/s')} by the host's",
        "cells": f"{summary.cells_used:,} of {summary.cells:,} used; "
        f"P_sw {summary.p_sw_mean:.4f} ± {summary.p_sw_spread:.4f} over the cells",
        "quarantined": "; ".join(f"{row}, {column}: {why}" for row, column, why in summary.quarantined),
        "health": _health(summary),
        "watch": "" if summary.watch is None else str(summary.watch),
        "servo": _servo(summary),
        "energy per bit": ", ".join(
            f"{_si(getattr(energy, term), 'J')} {term}" for term in ("write", "read", "reset")
        ),
        "on the way": ", ".join(f"{getattr(summary, name):,} {name.replace('_', ' ')}" for name in happened),
    }
    return "\n".join(_entry(label, text) for label, text in lines.items() if text)


def _progress_text(progress: RecordingProgress) -> str:
    """Say how far a recording is."""
    wanted = f" of {progress.wanted:,} ({progress.bits / progress.wanted:.0%})" if progress.wanted else ""
    ones = f", P(1) {progress.ones / progress.bits:.5f}" if progress.bits else ""
    held = (
        ""
        if math.isnan(progress.p_held)
        else f"P {progress.p_held:.4f}, {1e3 * progress.servo_shift:+.3g} mV"
    )
    lines = {
        "stage": progress.stage + (", waiting for those who use the bits" if progress.waiting else ""),
        "bits": f"{progress.bits:,}{wanted} in {progress.blocks:,} blocks, {_si(progress.bits_per_s, 'bit/s')}{ones}",
        "health": f"{progress.cells_failed:,} cells failed, {progress.blocks_withheld:,} blocks withheld",
        "watch": "" if progress.watch is None else str(progress.watch),
        "held at": held,
    }
    return "\n".join(_entry(label, text) for label, text in lines.items() if text)


def _health(summary: RecordingSummary) -> str:
    health = summary.health
    claim = f" ({health.min_entropy_claimed:g} bits of min-entropy claimed per bit)"
    if not (health.blocks_withheld or health.cells_failed):
        return f"passed{claim}"
    return (
        f"failed: {health.tests_failed or 'cells'}; {health.cells_failed:,} cells left out, "
        f"{health.blocks_withheld:,} blocks ({health.bits_withheld:,} bits) withheld{claim}"
    )


def _servo(summary: RecordingSummary) -> str:
    if summary.servo == "off":
        return "off"
    lost = f", {summary.cells_not_held:,} cells not held one by one" if summary.cells_not_held else ""
    return f"{summary.servo}: {summary.servo_actions:,} actions, {1e3 * summary.servo_shift:+.3g} mV{lost}"


def _entry(label: str, text: str) -> str:
    """Give one entry, its lines indented, cut where it would be longer than three."""
    wrapped = textwrap.wrap(text, _WIDTH - _LABEL, max_lines=_MOST_LINES, placeholder=" …")
    return textwrap.indent("\n".join(wrapped), " " * _LABEL).replace(" " * _LABEL, f"{label:<{_LABEL}}", 1)


def _si(value: float, unit: str) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g} {unit}"
    return f"{ureg.Quantity(value, unit).to_compact():.3g~P}"
