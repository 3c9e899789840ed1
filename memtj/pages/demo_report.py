"""The report of a demo run: one self-contained page made from its summary and the store's own numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memtj._quantities import duration, si
from memtj.pages import _figures
from memtj.pages._render import render_page

_MEANINGS = {
    "free": "recorded, not asked for yet",
    "leased": "in the hands of a running program",
    "consumed": "read by the sampler, part of a picture's provenance",
    "burned": "leased by a program that failed or died: never handed out again",
    "withheld": "kept back by a verdict on their quality",
}


_VERDICTS = {
    "fair": "The raw bits are a fair source of entropy, not a good one: {min_entropy:.2f} bit of min-entropy each.",
    "poor": (
        "This array, at this working point, is a POOR source of entropy, whatever the pictures look like: "
        "{min_entropy:.2f} bit of min-entropy in each raw bit. Conditioning hides it and does not cure it."
    ),
    "useless": (
        "This array, at this working point, is USELESS as a source of entropy, whatever the pictures look like: "
        "{min_entropy:.2f} bit of min-entropy in each raw bit. Conditioning hides it and does not cure it."
    ),
}


@dataclass(frozen=True)
class ArrayEvidence:
    """What the raw bits of one recording say about the array.

    `p_one` and `lag1` are (rows, columns) float64, NaN where a cell gave no bits; `attempts` is the mean number of
    bits of a cell; `readings` (n,) float32 ohms; `thresholds` (cells,) float64 ohms; `block_seconds`, `block_ones`,
    `block_bits` are (blocks,) float64.
    """

    p_one: NDArray[np.float64]
    lag1: NDArray[np.float64]
    attempts: float
    readings: NDArray[np.float32]
    thresholds: NDArray[np.float64]
    block_seconds: NDArray[np.float64]
    block_ones: NDArray[np.float64]
    block_bits: NDArray[np.float64]


def _interval(low: float, high: float) -> str:
    return f"{low:.6f} … {high:.6f}"


def _quality(summary: Mapping[str, Any], evidence: ArrayEvidence) -> list[dict[str, str]]:
    p = evidence.p_one[np.isfinite(evidence.p_one)]
    rows = [
        {
            "name": "fraction of ones",
            "value": f"{summary['ones_fraction']:.6f}",
            "interval": _interval(*summary["ones_fraction_interval"]),
            "of": f"all {summary['bits_recorded']:,} usable bits of this run",
        },
        {
            "name": "lag-1 correlation",
            "value": f"{summary['lag1']:+.6f}",
            "interval": _interval(*summary["lag1_interval"]),
            "of": f"a cell's outcome and its next, {summary['lag1_pairs']:,} pairs",
        },
    ]
    rows.append(
        {
            "name": "min-entropy of a raw bit",
            "value": f"{summary['min_entropy']:.4f} bit",
            "interval": f"perfect bits: {summary['min_entropy_ideal']:.4f}",
            "of": (
                f"{summary['verdict']}: the lowest of SP 800-90B's ten estimators ({summary['min_entropy_by']}). "
                "'memtj assess' looks at more"
            ),
        }
    )
    if p.size:
        sampling = 0.5 / np.sqrt(max(evidence.attempts, 1))
        true_spread = np.sqrt(max(0.0, float(p.var()) - sampling**2))
        rows.append(
            {
                "name": "spread of P(1) over the cells",
                "value": f"{true_spread:.5f}",
                "interval": "",
                "of": f"standard deviation over {p.size:,} cells, counting noise taken out",
            }
        )
        rows.append(
            {
                "name": "lowest and highest cell",
                "value": f"{p.min():.4f}, {p.max():.4f}",
                "interval": "",
                "of": "fraction of ones as measured, counting noise included",
            }
        )
    rows.append(
        {
            "name": "failed resets",
            "value": f"{summary['failed_resets']:,}",
            "interval": "",
            "of": "attempts left out because the cell did not return to the parallel state",
        }
    )
    rows.append(
        {
            "name": "quarantined cells",
            "value": f"{summary['quarantined_cells']:,}",
            "interval": "",
            "of": f"{summary['cells']:,} cells; found bad when thresholds and trims were measured",
        }
    )
    return rows


def _facts(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    energy = summary["energy_per_bit"]
    per_picture = summary["bits_consumed"] // max(1, summary["images"])
    return [
        {
            "name": "pictures",
            "value": str(summary["images"]),
            "note": f"{summary['scheduler'].upper()}, {summary['steps']} steps each",
        },
        {
            "name": "bits per picture",
            "value": si(per_picture, "bit"),
            "note": f"conditioning {summary['conditioning']}",
        },
        {
            "name": "device rate",
            "value": si(summary["device_bits_per_s"], "bit/s"),
            "note": "usable bits by the board's clock",
        },
        {
            "name": "energy per bit",
            "value": si(energy["total"], "J") if energy["total"] else "not known",
            "note": "write, read and reset in the junction",
        },
        {
            "name": "noise share of sampling",
            "value": f"{100 * summary['noise_fraction_of_sampling']:.1f} %",
            "note": "of the sampler's CPU time",
        },
        {"name": "whole run", "value": duration(summary["seconds"]), "note": "from command to this page"},
    ]


def _figure_list(evidence: ArrayEvidence) -> list[dict[str, str]]:
    figures = [
        (
            _figures.probability_map(evidence.p_one),
            "Fraction of ones of every cell; quarantined cells are black.",
        ),
        (
            _figures.cell_histogram(evidence.p_one, evidence.attempts),
            "The same as a histogram, beside what identical fair cells would show at this many attempts.",
        ),
        (
            _figures.lag_histogram(evidence.lag1, evidence.attempts),
            "Correlation between consecutive outcomes of each cell.",
        ),
    ]
    if len(evidence.block_bits) > 2:
        over_time = _figures.bias_over_time(evidence.block_seconds, evidence.block_ones, evidence.block_bits)
        figures.append((over_time, "Fraction of ones, block by block, with 95 % intervals."))
    if evidence.readings.size:
        figures.insert(
            2,
            (
                _figures.resistance_histogram(evidence.readings, evidence.thresholds),
                "Raw resistance readings of the whole array: parallel left, antiparallel right.",
            ),
        )
    return [{"uri": uri, "caption": caption} for uri, caption in figures]


def _account_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    accounts = summary["accounts"]
    rows: list[dict[str, Any]] = [
        {"name": name, "bits": f"{accounts[name]:,}", "meaning": meaning, "sum": False}
        for name, meaning in _MEANINGS.items()
    ]
    total = sum(accounts[name] for name in _MEANINGS)
    agreement = "equals" if total == accounts["recorded"] else "DOES NOT EQUAL"
    rows.append(
        {
            "name": "recorded",
            "bits": f"{accounts['recorded']:,}",
            "meaning": f"summed from the block rows; {agreement} the sum of the five above ({total:,})",
            "sum": True,
        }
    )
    return rows


def _rates(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = [
        (
            "the device",
            summary["device_bits_per_s"],
            "bit/s",
            "usable bits by the board's clock: pulses, periods, settling",
        ),
        (
            "recording",
            summary["record_bits_per_s"],
            "bit/s",
            "usable bits by this computer's clock, first block to last, pauses included: board"
            + (
                " (here the simulator's speed, which says nothing of hardware)"
                if summary["simulated"]
                else ""
            )
            + ", wire, store",
        ),
        (
            "sampling",
            summary["images"] / max(1e-9, summary["sampling_seconds"]),
            "pictures/s",
            "network and noise on this computer",
        ),
    ]
    return [
        {"name": name, "value": si(value, unit) if unit == "bit/s" else f"{value:.2f} {unit}", "of": of}
        for name, value, unit, of in rows
    ]


def _energy_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    meanings = {
        "write": "V²/R over the write pulse, R the mean of the measured resistances",
        "read": "V²/R over the settling of the read voltage; the check of the reset included",
        "reset": "V²/R over the reset pulse, for the half of the cells that need one",
        "total": "in the junctions alone: converters, comparators and computer are not in it",
    }
    energy = summary["energy_per_bit"]
    return [
        {
            "name": name,
            "value": si(energy[name], "J") if energy[name] is not None else "not known",
            "of": meaning,
            "sum": name == "total",
        }
        for name, meaning in meanings.items()
    ]


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    warnings = []
    if summary["conditioning"] == "none" and abs(summary["ones_fraction"] - 0.5) > 0.001:
        warnings.append(
            "These pictures were drawn with raw bits of a biased array: what looks wrong in them comes from there."
        )
    if not summary["calibrated"]:
        warnings.append(
            "The cells were not trimmed: every one has the switching probability that it was made with."
        )
    if summary["verdict"] != "good":
        warnings.append(_VERDICTS[summary["verdict"]].format(**summary))
    if summary["quarantined_cells"] > 0.05 * summary["cells"]:
        warnings.append(
            f"{summary['quarantined_cells']:,} of {summary['cells']:,} cells were quarantined: what is said here of "
            "the raw bits is said of the others alone."
        )
    return warnings


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    evidence: ArrayEvidence,
    pictures: bytes,
    baseline: bytes | None = None,
) -> None:
    """Write the report page to `path`; `pictures` and `baseline` are PNG files as bytes."""
    simulated = bool(summary["simulated"])
    page = render_page(
        "report.html",
        title=f"Digits drawn with the noise of {'a simulated' if simulated else 'an'} ME-MTJ array",
        lead=(
            "Every random number of these pictures was made from bits read from "
            f"{'a simulated' if simulated else 'an'} array of magnetoelectric tunnel junctions over VISA, recorded in "
            "HDF5 and handed out once."
        ),
        simulated=simulated,
        origin="SIMULATED ARRAY" if simulated else "PHYSICAL ARRAY",
        origin_note=summary["origin_note"],
        warnings=_warnings(summary),
        pictures=_figures.png_uri(pictures),
        baseline=_figures.png_uri(baseline) if baseline else None,
        conditioning=f"conditioning {summary['conditioning']}",
        caption=(
            f"Labels 0 to 9 in turn, {summary['scheduler'].upper()} with {summary['steps']} steps, conditioning "
            f"{summary['conditioning']}."
        ),
        facts=_facts(summary),
        quality=_quality(summary, evidence),
        figures=_figure_list(evidence),
        accounts=_account_rows(summary),
        bill=summary["bill_sentence"],
        rates=_rates(summary),
        energy=_energy_rows(summary),
        setup=[{"name": k, "value": v, "code": code} for k, v, code in summary["setup"]],
    )
    path.write_text(page, encoding="utf-8")
