"""What a recording prints of itself fits a screen of 24 lines of 80 columns, at its longest too."""

import math
from dataclasses import replace
from typing import Any

from entropy.quality.watch import Estimate, LargestLag, LargestPair, WatchReport
from instruments.procedures import EnergyPerBit, HealthSummary, RecordingProgress, RecordingSummary

EACH = Estimate(-0.012345678901234567, -0.123456789012345, 0.1234567890123456, 10**12)
LAG = LargestLag(64, EACH)
WATCH = WatchReport(
    EACH, (EACH,) * 64, (EACH,) * 64, LAG, LAG, EACH, EACH, LargestPair((9**6, 9**6), EACH), 10**6, 0.1
)
LONG: dict[str, Any] = {
    "recording": "59bc80ca-32fe-4ac5-ad37-b5846addcee1", "mode": "toggle", "simulated": True, "bits": 10**15,
    "blocks": 10**9, "ones_fraction": 0.512345678901234, "lag1": -0.0123456789, "failed_resets": 10**12, "cells": 10**6,
    "cells_used": 10**6 - 1000, "p_sw_mean": 0.51234567, "p_sw_spread": 0.0123456, "seconds": 1234567.8,
    "quarantined": tuple((row, row, "cannot be tuned from AP: 0.123 to 0.234") for row in range(1000)),
    "record_bits_per_s": 123456789.0, "device_bits_per_s": 987654321.0, "stalls": 10**6, "acquisitions": 10**6,
    "reconnections": 1000, "lost_blocks": 10**6, "corrupt_blocks": 10**6, "fetched_again": 10**6, "duplicates": 10**6,
    "health": HealthSummary(0.123456, 40.0, 59, 739, 10**6, 10**6, 10**12, "repetition count of the stream, " * 4),
    "watch": WATCH, "servo": "common", "servo_actions": 10**9, "servo_shift": -0.0123456, "cells_not_held": 10**6,
    "energy_per_bit": EnergyPerBit(2.67883343e-15, 2.1991545792309132e-13, 2.931365060001923e-15),
}  # fmt: skip


def lines_on_one_screen(value: object) -> list[str]:
    lines = str(value).splitlines()
    assert repr(value) == str(value)  # what a shell shows without print
    assert len(lines) < 24
    assert max(map(len, lines)) < 80
    return lines


def test_the_longest_summary() -> None:
    lines = lines_on_one_screen(RecordingSummary(**LONG))
    labels = [line[:16].strip() for line in lines if line[0] != " "]
    assert labels == [
        "recording", "bits", "rates", "cells", "quarantined", "health", "watch", "servo", "energy per bit",
        "on the way",
    ]  # fmt: skip
    assert any(line.endswith(" …") for line in lines)
    assert "2.68 fJ write, 220 fJ read, 2.93 fJ reset" in "\n".join(lines)


def test_a_summary_of_nothing() -> None:
    nothing = {
        name: type(value)() for name, value in LONG.items() if isinstance(value, str | int | float | tuple)
    }
    nan = math.nan
    summary = RecordingSummary(
        **LONG
        | nothing
        | {"servo": "off", "watch": None, "lag1": nan, "energy_per_bit": EnergyPerBit(nan, nan, nan)}
    )
    healthy = replace(summary, health=HealthSummary(0.7, 40.0, 59, 739, 0, 0, 0, ""))
    lines = lines_on_one_screen(healthy)
    assert "health          passed (0.7 bits of min-entropy claimed per bit)" in lines
    assert not any(line.startswith(("watch", "quarantined", "on the way")) for line in lines)


def test_progress() -> None:
    assert lines_on_one_screen(RecordingProgress())[0] == "stage           preparing"
    long = RecordingProgress(
        "recording",
        10**15,
        10**16,
        10**9,
        5 * 10**14,
        123456789.0,
        True,
        10**9,
        10**6,
        WATCH,
        0.512345,
        -0.0123456,
    )
    lines = lines_on_one_screen(long)
    assert lines[0] == "stage           recording, waiting for those who use the bits"
    assert "(10%)" in "\n".join(lines)


def test_a_watch_report() -> None:
    assert len(repr(WATCH)) < 24 * 80
    assert str(WATCH).startswith(
        "P(1) -0.01235 (-0.12346 to 0.12346), largest correlation in time -0.01235 ± 0.13580 at lag 64"
    )
