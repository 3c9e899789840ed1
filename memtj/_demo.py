"""The demo: a lab (or a given bench), a recorder and a sampler that draws meanwhile, a report."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instruments import Bench
from memtj import __version__
from memtj._assessment_words import word
from memtj._cell_map import as_map
from memtj._errors import CommandError
from memtj._example_bench import example_bench
from memtj._outputs import refuse_unwritable
from memtj._processes import Child
from memtj._progress import ProgressDisplay
from memtj._report import ArrayEvidence, write_report

if TYPE_CHECKING:
    import torch

    from entropy import CellStatistics, Store
    from memtj._drawing import Drawn
    from mock_hw.physics import DeviceParameters
    from sampler import Bill, Picture

COLUMNS = 10
DEFAULT_DEVICE = "C"
_LAB_START = 120.0  # s; the first start compiles the simulator's kernels
_RECORDER_END = 120.0  # s after the last picture
_BITS_WAIT = 180.0  # s that a microbatch may wait for its bits
_AHEAD = 5  # quarters of a microbatch: more than one, or sampler and recorder would wait for each other
_POLL_EVERY = 0.5  # s
_PREVIEW_EVERY = 4.0  # s

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


@dataclass(frozen=True)
class DemoSettings:
    """What to do: `bench` None starts a simulated lab with `seed` (None: from the operating system) and `device`."""

    out: Path
    images: int
    bench: Path | None
    device: str
    conditioning: str
    seed: int | None
    steps: int
    microbatch: int
    calibrate: bool
    voltage: float | None
    baseline: bool


def run_demo(settings: DemoSettings) -> dict[str, Any]:
    """Run the demo and return what `summary.json` holds; on every way out lab and recorder are ended, outputs off."""
    started = time.monotonic()
    _check(settings)
    (settings.out / "logs").mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(ProgressDisplay())
        device = _device(settings, display) if settings.bench is None else None
        lab = stack.enter_context(_start_lab(settings, display)) if settings.bench is None else None
        artist = _Artist(settings, display)  # loads the network while the lab starts
        bench = _bench_file(settings, lab, device, display)
        _check_bench(bench, display)
        recorder = stack.enter_context(_start_recorder(settings, bench, device, artist.bill))
        store = stack.enter_context(_open_store(settings.out / "store", recorder))
        drawn = artist.draw(store, recorder)
        outcome = recorder.result(_RECORDER_END)
        display.say("measuring the array from its raw bits")
        summary, evidence = _summarise(settings, store, outcome, artist, drawn)
        baseline = artist.draw_baseline() if settings.baseline else None
    summary["seconds"] = time.monotonic() - started
    pictures = (settings.out / "images.png").read_bytes()
    write_report(settings.out / "report.html", summary, evidence, pictures, baseline)
    text = json.dumps(summary, indent=1, allow_nan=False)
    (settings.out / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _check(settings: DemoSettings) -> None:
    """Refuse what would be refused on the way, before anything is made or started."""
    from entropy import conditioning_from_name
    from mock_hw.physics import load_device

    out = settings.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandError(f"{out} exists and is not an empty folder: name another one with --out.")
    refuse_unwritable(out)
    conditioning_from_name(settings.conditioning)
    if settings.bench is None:
        load_device(settings.device)
    else:
        Bench.from_toml(settings.bench)


def _device(settings: DemoSettings, display: ProgressDisplay) -> "DeviceParameters":
    """Load the simulated device, and make its switching table where there is none yet: here it shows its progress."""
    from mock_hw.physics import load_device, table_of

    device = load_device(settings.device)
    task: list[Any] = []

    def progress(done: int, of: int) -> None:
        if not task:
            display.say(f"making the switching table of {device.name}, once")
            task.append(display.task("switching table", of, "parts"))
        task[0].advance_to(done)

    table_of(device, progress)
    return device


def _start_lab(settings: DemoSettings, display: ProgressDisplay) -> Child:
    display.say("starting the simulated lab in a process of its own")
    seed = [] if settings.seed is None else ["--seed", str(settings.seed)]
    device = ["--device", settings.device]
    return Child(["lab", "--json", *device, *seed], settings.out / "logs" / "lab.log")


def _bench_file(
    settings: DemoSettings, lab: Child | None, device: "DeviceParameters | None", display: ProgressDisplay
) -> Path:
    """Write the bench file of this run into its folder: the given one, or the shipped one with the lab's board."""
    bench = settings.out / "bench.toml"
    if lab is None:
        assert settings.bench is not None
        try:
            bench.write_bytes(settings.bench.read_bytes())
        except OSError as error:
            raise CommandError(
                f"{settings.bench} cannot be read ({error.strerror}): name a bench file."
            ) from None
        return bench
    ready = lab.result(_LAB_START)
    resource = ready["resources"]["board"]
    other = None if settings.device == DEFAULT_DEVICE else device
    bench.write_text(example_bench(resource, other), encoding="utf-8")
    display.say(f"simulated lab ready: {resource}, seed {ready['seed']}")
    return bench


def _check_bench(bench: Path, display: ProgressDisplay) -> None:
    for finding in Bench.from_toml(bench).check():
        said = f"bench check: {finding.instrument}: {finding.subject}: {finding.detail}"
        if not finding.ok:
            raise CommandError(said)
        display.say(said)


def _working_point(settings: DemoSettings, device: "DeviceParameters | None") -> list[str]:
    """Return the recorder's options for the pulses: those of the simulated device, the user's voltage first."""
    point = None if device is None else device.working_point
    values: dict[str, float | str | None] = {}
    if point is not None:
        values = {
            "mode": point.mode,
            "voltage": point.voltage,
            "width": point.width,
            "period": point.period,
            "read-voltage": point.read_voltage,
            "reset-voltage": point.reset_voltage,
            "reset-width": point.reset_width,
        }
    values |= {} if settings.voltage is None else {"voltage": settings.voltage}
    return [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]


def _start_recorder(
    settings: DemoSettings, bench: Path, device: "DeviceParameters | None", bill: "Bill"
) -> Child:
    """Start `memtj record` for exactly the bill, a little more than a microbatch ahead of the sampler."""
    ahead = _AHEAD * min(settings.microbatch, settings.images) * bill.recorded_each // 4
    logs = settings.out / "logs"
    arguments = ["--store", str(settings.out / "store"), "--bits", str(bill.recorded), "--ahead", str(ahead)]
    arguments += [] if settings.calibrate else ["--no-calibrate"]
    arguments += _working_point(settings, device)
    return Child(
        ["record", str(bench), *arguments, "--csv", str(logs / "record.csv"), "--json"], logs / "record.log"
    )


def _open_store(path: Path, recorder: Child) -> "Store":
    """Open the recorder's store; either process may be the first to make it."""
    from entropy import Store

    recorder.check()
    return Store(path)


class _Artist:
    """Draws the demo's pictures, with previews, and shows how recording and drawing go on."""

    def __init__(self, settings: DemoSettings, display: ProgressDisplay) -> None:
        from entropy import conditioning_from_name
        from sampler import SampleSettings, bill, load_checkpoint, shipped_checkpoint

        self.conditioning = conditioning_from_name(settings.conditioning)
        display.say("loading the digit model")
        self.checkpoint = load_checkpoint(shipped_checkpoint())
        self.sampling = SampleSettings(steps=settings.steps, microbatch=settings.microbatch)
        self.bill = bill(self.checkpoint, self.sampling, settings.images, self.conditioning)
        display.say(f"bill: {self.bill}")
        self._out, self._display = settings.out, display
        self._labels = [index % 10 for index in range(settings.images)]
        self._shown: dict[int, Picture] = {}
        self._previewed = time.monotonic()
        self._polled = 0.0

    def draw(self, store: "Store", recorder: Child) -> "Drawn":
        """Draw all pictures with bits that the recorder is recording."""
        from entropy import Lease, NotEnoughBits
        from memtj._drawing import Drawing
        from sampler import save_pictures

        recording = self._display.task("recording", self.bill.recorded, "bit")
        sampling = self._display.task("sampling", len(self._labels), "pictures")

        def poll() -> None:
            if time.monotonic() - self._polled > _POLL_EVERY:
                self._polled = time.monotonic()
                recorder.check()
                recording.advance_to(store.accounts().recorded)

        def progress(done: float) -> None:
            sampling.advance_to(done)
            poll()

        def lease(bits: int) -> Lease:
            deadline = time.monotonic() + _BITS_WAIT
            while True:
                poll()
                try:
                    return store.lease(bits, purpose="demo", wait=_POLL_EVERY)
                except NotEnoughBits:
                    if time.monotonic() > deadline:
                        raise

        def finished(pictures: "list[Picture]") -> None:
            save_pictures(pictures, self._out / "pictures")
            self._shown.update({picture.index: picture for picture in pictures})
            self._save_sheet()

        drawing = Drawing(self.checkpoint, self._labels, self.sampling, progress, self._preview, finished)
        drawn = drawing.from_leases(store, lease, self.conditioning)
        self._polled = 0.0
        poll()
        return drawn

    def draw_baseline(self) -> bytes:
        """Draw the same labels with seeded software noise; returns the sheet as PNG."""
        from memtj._drawing import Drawing
        from sampler import SoftwareSource, save_sheet

        task = self._display.task("software noise", len(self._labels), "pictures")
        drawing = Drawing(self.checkpoint, self._labels, self.sampling, task.advance_to)
        pictures = drawing.from_source(SoftwareSource(0)).pictures
        return save_sheet(pictures, self._out / "baseline.png", columns=COLUMNS).read_bytes()

    def _preview(self, first: int, step: int, guesses: "torch.Tensor") -> None:
        from sampler import Picture

        if time.monotonic() - self._previewed < _PREVIEW_EVERY:
            return
        self._previewed = time.monotonic()
        for index, guess in enumerate(guesses, first):
            self._shown[index] = Picture(index, self._labels[index], guess * 2 - 1, {})
        self._save_sheet()

    def _save_sheet(self) -> None:
        from sampler import save_sheet

        shown = [self._shown[index] for index in sorted(self._shown)]
        # Written beside and moved into place: a viewer that follows the preview never sees half a file.
        whole = save_sheet(shown, self._out / "images-new.png", columns=COLUMNS)
        whole.replace(self._out / "images.png")


def _summarise(
    settings: DemoSettings, store: "Store", outcome: dict[str, Any], artist: _Artist, drawn: "Drawn"
) -> tuple[dict[str, Any], ArrayEvidence]:
    """Collect the numbers of the run from the store, the recorder's outcome and the pictures."""
    from entropy.statistics import cell_statistics, wilson_interval

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
    return summary, _evidence(store, buffers, statistics)


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
    from entropy.assessment import STANDARD_BITS, StoreSubject, estimate_by_cell, ideal_estimates
    from entropy.estimators import min_entropy

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


def _evidence(store: "Store", buffers: list[str], statistics: "CellStatistics") -> ArrayEvidence:
    cells = statistics.cells
    rows = np.concatenate([store.rows(buffer) for buffer in buffers])
    readings = np.concatenate([store.resistances(buffer) for buffer in buffers])
    return ArrayEvidence(
        p_one=as_map(cells, statistics.p1),
        lag1=as_map(cells, statistics.lag1),
        attempts=float(statistics.counts[statistics.counts > 0].mean()),
        readings=readings,
        thresholds=cells["threshold"].astype(np.float64),
        block_seconds=rows["host_time"] - rows["host_time"][0],
        block_ones=rows["ones"].astype(np.float64),
        block_bits=rows["bits"].astype(np.float64),
    )


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
