"""The numbers of a demo run: what `summary.json` and the report say."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from memtj import __version__
from memtj.demo._artist import Artist
from memtj.demo._settings import DemoSettings
from memtj.pages.assessment_words import word
from memtj.pages.demo_report import ArrayEvidence

if TYPE_CHECKING:
    from entropy import CellStatistics, Store
    from memtj._drawing import Drawn

# What the demo's summary takes over from the outcome of `memtj record`.
_FROM_RECORDER = (
    "record_bits_per_s",
    "device_bits_per_s",
    "energy_per_bit",
    "failed_resets",
    "stalls",
    "cells",
    "quarantined_cells",
    "simulated",
)


def summarise(
    settings: DemoSettings, store: "Store", outcome: dict[str, Any], artist: Artist, drawn: "Drawn"
) -> tuple[dict[str, Any], ArrayEvidence]:
    """Collect the numbers of the run from the store, the recorder's outcome and the pictures."""
    from entropy.quality.statistics import cell_statistics, wilson_interval

    buffers = [buffer.uuid for buffer in store.buffers()]
    statistics = cell_statistics(store, buffers)
    accounts = store.accounts()
    ones, counted = int(statistics.ones.sum()), int(statistics.counts.sum())
    pairs = int(np.sum(statistics.cell_pairs.pairs))
    lag1 = _pooled_lag1(statistics)
    reach = 1.959964 / np.sqrt(max(pairs, 1))
    summary = {
        "images": len(drawn.pictures),
        "bits_recorded": accounts.recorded,
        "bits_consumed": accounts.consumed,
        "bits_burned": accounts.burned,
        "accounts": asdict(accounts),
        "ones_fraction": ones / counted,
        "ones_fraction_interval": wilson_interval(ones, counted),
        "lag1": lag1,
        "lag1_interval": (lag1 - reach, lag1 + reach),
        "lag1_pairs": pairs,
        **_min_entropy(store, statistics),
        **{name: outcome[name] for name in _FROM_RECORDER},
        "sampling_seconds": drawn.seconds,
        "noise_fraction_of_sampling": drawn.noise_fraction,
        "conditioning": settings.conditioning,
        "scheduler": artist.sampling.scheduler,
        "steps": artist.sampling.steps,
        "calibrated": settings.calibrate,
        "microbatch": artist.sampling.microbatch,
        "bill_sentence": f"The bill: {artist.bill}.",
        "model_sha256": artist.checkpoint.sha256,
        "store": str((settings.out / "store").absolute()),
        "version": __version__,
    }
    summary["origin_note"] = _origin_note(outcome)
    summary["setup"] = _setup(settings, summary, outcome)
    blocks = np.concatenate([store.rows(buffer) for buffer in buffers])
    readings = np.concatenate([store.resistances(buffer) for buffer in buffers])
    return summary, ArrayEvidence(statistics, blocks, readings)


def _pooled_lag1(statistics: "CellStatistics") -> float:
    """Return the mean of the cells' lag-1 correlations, weighted by their pairs: no cell's bias enters it."""
    pairs = np.asarray(statistics.cell_pairs.pairs, np.float64)
    known = np.isfinite(statistics.lag1) & (pairs > 0)
    return float(np.average(statistics.lag1[known], weights=pairs[known])) if known.any() else 0.0


def _min_entropy(store: "Store", statistics: "CellStatistics") -> dict[str, Any]:
    """Estimate the raw bits by the ten estimators, as recorded and cell by cell, and find a word for the lowest.

    `min_entropy_ideal` is the lowest of the ten for as many software bits: never 1, since the bounds allow for chance.
    """
    from entropy import NotEnoughBits
    from entropy.quality.assessment import STANDARD_BITS, StoreSubject, estimate_by_cell, ideal_estimates
    from entropy.quality.estimators import min_entropy

    subject = StoreSubject(store)
    bits = min(subject.bits, STANDARD_BITS)
    try:
        orders = {
            "as recorded": min_entropy(subject.read(0, bits)),
            "cell by cell": estimate_by_cell(subject, statistics, bits),
        }
    except NotEnoughBits:
        return {
            "min_entropy": 0.0,
            "min_entropy_ideal": 1.0,
            "min_entropy_by": "too few bits",
            "verdict": "useless",
        }
    order = min(orders, key=lambda name: orders[name].assessed)
    value, ideal = orders[order].assessed, min(ideal_estimates(bits, 2))
    by = f"{orders[order].lowest.replace('_', ' ')}, {order}, {bits:,} bits"
    return {
        "min_entropy": value,
        "min_entropy_ideal": ideal,
        "min_entropy_by": by,
        "verdict": word(value, ideal),
    }


def _origin_note(outcome: dict[str, Any]) -> str:
    if outcome["simulated"]:
        return (
            f"The board ({outcome['identity']}) declares that its junctions are computed, by a macrospin model of "
            "the "
            "device. Bits, resistances, device rate and energy are simulated; protocol, wire, files, accounts and "
            "pictures are real."
        )
    return f"The board ({outcome['identity']}) declares that its bits come from physical junctions."


def _setup(
    run: DemoSettings, summary: dict[str, Any], outcome: dict[str, Any]
) -> list[tuple[str, str, bool]]:
    """Return (name, value, whether it is code) of everything a reader needs to repeat the run."""
    import diffusers
    import torch

    settings = ", ".join(f"{name} {value}" for name, value in outcome["settings"].items())
    return [
        ("board", f"{outcome['identity']} at {outcome['resource']}", False),
        ("pulses", settings, False),
        (
            "stalls",
            f"{outcome['stalls']:,}: the board stopped pulsing because its FIFO was full; no bit is lost",
            False,
        ),
        ("noise map", "version 1: 32 bits a normal, by table of polynomials", False),
        ("model", f"shipped digit model, SHA-256 {summary['model_sha256']}", True),
        ("recording", outcome["recording"], True),
        (
            "replay",
            f"memtj replay {run.out.absolute()}/pictures/*.png --store {summary['store']}",
            True,
        ),
        (
            "software",
            f"memtj {__version__}, torch {torch.__version__}, diffusers {diffusers.__version__}",
            False,
        ),
    ]
