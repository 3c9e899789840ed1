"""What a recording says of itself when it is printed: at most 24 lines of 80 columns."""

import math
import textwrap
from typing import TYPE_CHECKING

from pymeasure.units import ureg

if TYPE_CHECKING:
    from ._summary import RecordingProgress, RecordingSummary

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


def summary_text(summary: "RecordingSummary") -> str:
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


def progress_text(progress: "RecordingProgress") -> str:
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


def _health(summary: "RecordingSummary") -> str:
    health = summary.health
    claim = f" ({health.min_entropy_claimed:g} bits of min-entropy claimed per bit)"
    if not (health.blocks_withheld or health.cells_failed):
        return f"passed{claim}"
    return (
        f"failed: {health.tests_failed or 'cells'}; {health.cells_failed:,} cells left out, "
        f"{health.blocks_withheld:,} blocks ({health.bits_withheld:,} bits) withheld{claim}"
    )


def _servo(summary: "RecordingSummary") -> str:
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
