"""The numbers of a demo run: what `summary.json` and the report say."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memtj import __version__
from memtj.demo._artist import Artist
from memtj.demo._measured import Measured
from memtj.demo._settings import DemoSettings

if TYPE_CHECKING:
    from entropy import Store
    from sampler import Samples

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
    settings: DemoSettings,
    store: "Store",
    outcome: dict[str, Any],
    artist: Artist,
    drawn: "Samples",
    measured: Measured,
) -> dict[str, Any]:
    """Collect the numbers of the run from the store, the recorder's outcome, the pictures and what was measured."""
    accounts = store.accounts()
    summary = {
        "images": len(drawn.pictures),
        "bits_recorded": accounts.recorded,
        "bits_consumed": accounts.consumed,
        "bits_burned": accounts.burned,
        "accounts": asdict(accounts),
        **measured.numbers,
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
    return summary


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
