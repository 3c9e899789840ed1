"""What an assessment says in words, and as JSON."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from entropy.quality.assessment import Assessment
from entropy.quality.sp800_22 import Battery

# What the raw bits are called, by their lowest estimate beside the lowest of as many software bits: our own words.
WORDS = (("good", 0.9), ("fair", 0.6), ("poor", 0.25), ("useless", -1.0))


def word(original: float, ideal: float) -> str:
    """Give the word for the lowest estimate of raw bits beside that of perfect ones."""
    return next(name for name, least in WORDS if original / ideal >= least)


def lowest(found: Assessment) -> str:
    """Say which estimate of the raw bits is the lowest, and in which order of theirs."""
    if found.cells is not None and found.cells.by_cell.assessed < found.raw.assessed:
        return f"{found.cells.by_cell.lowest.replace('_', ' ')}, cell by cell"
    return f"{found.raw.lowest.replace('_', ' ')}, in the order recorded"


def verdict(found: Assessment) -> str:
    """Say in a sentence or two what the raw bits support."""
    ideal = f"{min(found.ideal):.3f}" if found.ideal else ""
    perfect = f" {found.bits:,} perfect bits would be given about {ideal}." if ideal else ""
    value = f"{math.floor(1000 * found.original) / 1000:.3f}"  # never rounded up
    if found.claim is None:
        return f"The {found.bits:,} raw bits looked at support min-entropy {value} per bit ({lowest(found)}).{perfect}"
    if found.restarts is not None and not found.restarts.passed:
        return (
            f"The claim of {found.claim:g} bit of min-entropy per raw bit is NOT SUPPORTED: the restart tests failed, "
            "so every start of the source may be like the last one."
        )
    if found.supported:
        return (
            f"The {found.bits:,} raw bits looked at support min-entropy {value} per bit ({lowest(found)}); claim "
            f"{found.claim:g}: SUPPORTED."
        )
    why = ""
    if found.ideal and found.claim > min(found.ideal):
        why = f" So few bits cannot support it: perfect ones would be given about {ideal}. Assess more (--bits)."
    return (
        f"The {found.bits:,} raw bits looked at support min-entropy {value} per bit ({lowest(found)}); claim "
        f"{found.claim:g}: NOT SUPPORTED.{why}"
    )


def as_json(found: Assessment) -> dict[str, Any]:
    """Give what a script would read; numbers that are not there are null."""
    return {
        "name": found.name,
        "simulated": found.simulated,
        "origin": found.origin,
        "available_bits": found.available,
        "bits": found.bits,
        "min_entropy": found.raw.as_dict(),
        "cells": _cells(found),
        "ideal": list(found.ideal),
        "windows_ideal": list(found.windows_ideal),
        "original": found.original,
        "claim": found.claim,
        "supported": found.supported,
        "initial": found.initial,
        "assessed": found.assessed,
        "verdict": verdict(found),
        "windows": [
            {**asdict(window), "min_entropy": window.min_entropy.as_dict()} for window in found.windows
        ],
        "autocorrelation": _numbers(found.autocorrelation),
        "sp800_22": _battery(found.sp800_22),
        "conditioned": _conditioned(found),
        "health": None if found.health is None else {**asdict(found.health), "ok": found.health.ok},
        "iid": _iid(found),
        "restarts": _restarts(found),
        "notes": list(found.notes),
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _cells(found: Assessment) -> dict[str, Any] | None:
    cells = found.cells
    if cells is None:
        return None
    return {
        "cells": len(cells.markov),
        "min_entropy": cells.by_cell.as_dict(),
        "sp800_22": _battery(cells.sp800_22),
        "bits_each": float(cells.statistics.counts[cells.statistics.counts > 0].mean()),
        "ones": _numbers(cells.statistics.p1),
        "lag1": _numbers(cells.statistics.lag1),
        "most_common_value": _numbers(cells.most_common_value),
        "markov": _numbers(cells.markov),
        "sample": cells.sample.tolist(),
        "sample_min_entropy": None if cells.single is None else [each.as_dict() for each in cells.single],
    }


def _battery(battery: Battery) -> dict[str, Any]:
    return {
        "sequences": battery.sequences,
        "bits": battery.bits,
        "ok": battery.ok,
        "chance": battery.chance,
        "failed": list(battery.failed),
        "skipped": dict(battery.skipped),
        "tests": {
            criterion.name: {
                "p_values": criterion.p_values.tolist(),
                "passed": criterion.passed,
                "proportion": criterion.proportion,
                "least_proportion": criterion.least,
                "proportion_ok": criterion.proportion_ok,
                "uniformity": criterion.uniformity,
                "uniformity_ok": criterion.uniform_ok,
            }
            for criterion in battery.criteria
        },
    }


def _conditioned(found: Assessment) -> dict[str, Any] | None:
    if found.conditioned is None:
        return None
    return {
        "conditioning": found.conditioned.name,
        "bits": found.conditioned.bits,
        "bits_in": found.conditioned.bits_in,
        "min_entropy": found.conditioned.min_entropy.as_dict(),
        "sp800_22": _battery(found.conditioned.sp800_22),
    }


def _iid(found: Assessment) -> dict[str, Any]:
    tests = {
        name: {**asdict(test), "passed": test.passed}
        for name, test in (
            ("independence", found.independence),
            ("goodness_of_fit", found.goodness_of_fit),
            ("longest_repeat", found.longest_repeat),
        )
    }
    permuted = found.permutations
    if permuted is None:
        return {**tests, "permutations": None}
    return {
        **tests,
        "permutations": {
            "made": permuted.permutations,
            "passed": permuted.passed,
            "outliers": list(permuted.outliers),
        },
    }


def _restarts(found: Assessment) -> dict[str, Any] | None:
    restarts = found.restarts
    if restarts is None:
        return None
    return {
        "rows": restarts.rows,
        "columns": restarts.columns,
        "standard": restarts.standard,
        "most": restarts.most,
        "cutoff": restarts.cutoff,
        "sane": restarts.sane,
        "by_row": restarts.by_row.as_dict(),
        "by_column": restarts.by_column.as_dict(),
        "passed": restarts.passed,
        "assessed": restarts.assessed,
    }
