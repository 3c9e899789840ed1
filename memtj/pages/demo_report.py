"""The report of a demo run: one self-contained page made from its summary and the store's own numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memtj._quantities import duration, si
from memtj.pages import _demo_figures as figures
from memtj.pages._figure import as_map, png_uri, probability_map
from memtj.pages._render import code, render_page

if TYPE_CHECKING:
    from entropy import CellStatistics

_ACCOUNTS = {
    "free": "recorded, not asked for yet",
    "leased": "in the hands of a running program",
    "consumed": "read by the sampler, part of a picture's provenance",
    "burned": "leased by a program that failed or died: never handed out again",
    "withheld": "kept back by a verdict on their quality",
}
_VERDICTS = {
    "fair": "The raw bits are a fair source of entropy, not a good one: {:.2f} bit of min-entropy each.",
    "poor": (
        "This array, at this working point, is a POOR source of entropy, whatever the pictures look like: {:.2f} bit "
        "of min-entropy in each raw bit. Conditioning hides it and does not cure it."
    ),
    "useless": (
        "This array, at this working point, is USELESS as a source of entropy, whatever the pictures look like: {:.2f} "
        "bit of min-entropy in each raw bit. Conditioning hides it and does not cure it."
    ),
}
_ENERGIES = {
    "write": "V²/R over the write pulse, R the mean of the measured resistances",
    "read": "V²/R over the settling of the read voltage; the check of the reset included",
    "reset": "V²/R over the reset pulse, for the half of the cells that need one",
    "total": "in the junctions alone: converters, comparators and computer are not in it",
}


@dataclass(frozen=True)
class ArrayEvidence:
    """What the raw bits of a demo's store say about the array: of every cell, of every block (rows of BLOCK_DTYPE),
    and a sample of raw readings, (n,) float32 ohms.
    """

    statistics: "CellStatistics"
    blocks: NDArray[np.void]
    readings: NDArray[np.float32]

    @property
    def attempts(self) -> float:
        """The mean number of bits of a cell."""
        return float(self.statistics.counts[self.statistics.counts > 0].mean())

    @cached_property
    def figures(self) -> list[tuple[str, str]]:
        """The figures of the array as data URIs, each with its caption; drawn when they are first asked for."""
        return _array_figures(self)


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    evidence: ArrayEvidence,
    pictures: bytes,
    baseline: bytes | None = None,
) -> None:
    """Write the report page to `path`; `pictures` and `baseline` are PNG files as bytes."""
    simulated = bool(summary["simulated"])
    array = "a simulated" if simulated else "an"
    page = render_page(
        "demo_report.html",
        title=f"Digits drawn with the noise of {array} ME-MTJ array",
        lead=(
            f"Every random number of these pictures was made from bits read from {array} array of magnetoelectric "
            "tunnel junctions over VISA, recorded in HDF5 and handed out once."
        ),
        simulated=simulated,
        origin="SIMULATED ARRAY" if simulated else "PHYSICAL ARRAY",
        origin_note=summary["origin_note"],
        warnings=_warnings(summary),
        pictures=_pictures(summary, pictures, baseline),
        highlights=_highlights(summary),
        quality=_quality(summary, evidence),
        array_figures=evidence.figures,
        accounts=_accounts(summary),
        bill=summary["bill_sentence"],
        rates=_rates(summary),
        energy=[
            (name, _joules(summary["energy_per_bit"][name]), meaning) for name, meaning in _ENERGIES.items()
        ],
        setup=[(name, code(value) if is_code else value) for name, value, is_code in summary["setup"]],
    )
    path.write_text(page, encoding="utf-8")


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    bad = summary["quarantined_cells"], summary["cells"]
    warnings = {
        "These pictures were drawn with raw bits of a biased array: what looks wrong in them comes from there.": (
            summary["conditioning"] == "none" and abs(summary["ones_fraction"] - 0.5) > 0.001
        ),
        "The cells were not trimmed: every one has the switching probability that it was made with.": (
            not summary["calibrated"]
        ),
        _VERDICTS.get(summary["verdict"], "").format(summary["min_entropy"]): summary["verdict"] != "good",
        f"{bad[0]:,} of {bad[1]:,} cells were quarantined: what is said here of the raw bits is said of the others "
        "alone.": bad[0] > 0.05 * bad[1],
    }
    return [warning for warning, holds in warnings.items() if holds]


def _pictures(summary: Mapping[str, Any], pictures: bytes, baseline: bytes | None) -> list[tuple[str, str]]:
    """Give the sheets of pictures, each with its caption."""
    conditioning = f"conditioning {summary['conditioning']}"
    if baseline is None:
        how = f"{summary['scheduler'].upper()} with {summary['steps']} steps, {conditioning}"
        return [(png_uri(pictures), f"Labels 0 to 9 in turn, {how}.")]
    return [
        (png_uri(pictures), f"Noise from the array ({conditioning})."),
        (
            png_uri(baseline),
            "The same model, labels and steps with the noise of a seeded software generator.",
        ),
    ]


def _joules(energy: float | None) -> str:
    return si(energy, "J") if energy is not None else "not known"


def _highlights(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    per_picture = summary["bits_consumed"] // max(1, summary["images"])
    noise = f"{100 * summary['noise_fraction_of_sampling']:.1f} %"
    return [
        (
            "pictures",
            f"{summary['images']}",
            f"{summary['scheduler'].upper()}, {summary['steps']} steps each",
        ),
        ("bits per picture", si(per_picture, "bit"), f"conditioning {summary['conditioning']}"),
        ("device rate", si(summary["device_bits_per_s"], "bit/s"), "usable bits by the board's clock"),
        (
            "energy per bit",
            _joules(summary["energy_per_bit"]["total"] or None),
            "write, read and reset in the junction",
        ),
        ("noise share of sampling", noise, "of the sampler's CPU time"),
        ("whole run", duration(summary["seconds"]), "from command to this page"),
    ]


def _quality(summary: Mapping[str, Any], evidence: ArrayEvidence) -> list[tuple[str, str, str, str]]:
    p = evidence.statistics.p1[np.isfinite(evidence.statistics.p1)]
    rows = [
        (
            "fraction of ones",
            f"{summary['ones_fraction']:.6f}",
            "{:.6f} … {:.6f}".format(*summary["ones_fraction_interval"]),
            f"all {summary['bits_recorded']:,} usable bits of this run",
        ),
        (
            "lag-1 correlation",
            f"{summary['lag1']:+.6f}",
            "{:.6f} … {:.6f}".format(*summary["lag1_interval"]),
            f"a cell's outcome and its next, {summary['lag1_pairs']:,} pairs",
        ),
        (
            "min-entropy of a raw bit",
            f"{summary['min_entropy']:.4f} bit",
            f"perfect bits: {summary['min_entropy_ideal']:.4f}",
            f"{summary['verdict']}: the lowest of SP 800-90B's ten estimators ({summary['min_entropy_by']}). 'memtj "
            "assess' looks at more",
        ),
    ]
    if p.size:
        counting = 0.25 / max(evidence.attempts, 1)
        rows += [
            (
                "spread of P(1) over the cells",
                f"{np.sqrt(max(0.0, float(p.var()) - counting)):.5f}",
                "",
                f"standard deviation over {p.size:,} cells, counting noise taken out",
            ),
            (
                "lowest and highest cell",
                f"{p.min():.4f}, {p.max():.4f}",
                "",
                "fraction of ones as measured, counting noise included",
            ),
        ]
    return [
        *rows,
        (
            "failed resets",
            f"{summary['failed_resets']:,}",
            "",
            "attempts left out because the cell did not return to the parallel state",
        ),
        (
            "quarantined cells",
            f"{summary['quarantined_cells']:,}",
            "",
            f"{summary['cells']:,} cells; found bad when thresholds and trims were measured",
        ),
    ]


def _array_figures(evidence: ArrayEvidence) -> list[tuple[str, str]]:
    """Draw the figures of the array, each with its caption."""
    statistics, blocks, attempts = evidence.statistics, evidence.blocks, evidence.attempts
    drawn = [
        (
            probability_map(as_map(statistics.cells, statistics.p1)),
            "Fraction of ones of every cell; quarantined cells are black.",
        ),
        (
            figures.cell_histogram(statistics.p1, attempts),
            "The same as a histogram, beside what identical fair cells would show at this many attempts.",
        ),
    ]
    if evidence.readings.size:
        resistances = figures.resistance_histogram(evidence.readings, statistics.cells["threshold"])
        caption = "Raw resistance readings of the whole array: parallel left, antiparallel right."
        drawn.append((resistances, caption))
    lags = figures.lag_histogram(statistics.lag1, attempts)
    drawn.append((lags, "Correlation between consecutive outcomes of each cell."))
    if len(blocks) > 2:
        drawn.append(
            (figures.bias_over_time(blocks), "Fraction of ones, block by block, with 95 % intervals.")
        )
    return drawn


def _accounts(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    accounts = summary["accounts"]
    total = sum(accounts[name] for name in _ACCOUNTS)
    agreement = "equals" if total == accounts["recorded"] else "DOES NOT EQUAL"
    meanings = _ACCOUNTS | {
        "recorded": f"summed from the block rows; {agreement} the sum of the five above ({total:,})"
    }
    return [(name, f"{accounts[name]:,}", meaning) for name, meaning in meanings.items()]


def _rates(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    board = "board"
    if summary["simulated"]:
        board += " (here the simulator's speed, which says nothing of hardware)"
    pictures = summary["images"] / max(1e-9, summary["sampling_seconds"])
    return [
        (
            "the device",
            si(summary["device_bits_per_s"], "bit/s"),
            "usable bits by the board's clock: pulses, periods, settling",
        ),
        (
            "recording",
            si(summary["record_bits_per_s"], "bit/s"),
            "usable bits by this computer's clock, first block to last, pauses included: "
            f"{board}, wire, store",
        ),
        ("sampling", f"{pictures:.2f} pictures/s", "network and noise on this computer"),
    ]
