"""The demo: a lab (or a given bench), a recorder and a sampler that draws meanwhile, a report."""

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments import Bench
from memtj._errors import CommandError
from memtj._example_bench import example_bench
from memtj._outputs import refuse_unwritable
from memtj._processes import Child
from memtj._progress import ProgressDisplay
from memtj.demo._artist import Artist
from memtj.demo._settings import DEFAULT_DEVICE, DemoSettings

if TYPE_CHECKING:
    from entropy import Conditioning, Store
    from memtj.demo._measured import Measured
    from mock_hw.physics import DeviceParameters

_LAB_START = 120.0  # s; the first start compiles the simulator's kernels
_BITS_OF_A_DRAW = 32 * 28 * 28  # normals of 32 bits, one for each of the digits' pixels


def run_demo(settings: DemoSettings) -> dict[str, Any]:
    """Run the demo and return what `summary.json` holds; on every way out lab and recorder are ended, outputs off."""
    started = time.monotonic()
    conditioning = _check(settings)
    (settings.out / "logs").mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(ProgressDisplay())
        simulated, shipped = settings.bench is None, settings.device == DEFAULT_DEVICE
        # The default device's table is there; that of another one may have to be made first, with its progress shown.
        lab = stack.enter_context(_start_lab(settings, display)) if simulated and shipped else None
        device = _device(settings, display) if simulated else None
        if simulated and lab is None:
            lab = stack.enter_context(_start_lab(settings, display))
        bench = _bench_file(settings, lab, device, display)
        _check_bench(bench, display)
        bits = _bits_of_a_picture(settings, conditioning)
        recorder = stack.enter_context(_start_recorder(settings, bench, device, bits))
        artist = Artist(settings, conditioning, display)  # loads the network while the cells are measured
        if artist.bill.recorded_each != bits:
            raise CommandError(
                f"the bill is of {artist.bill.recorded_each:,} bits a picture, not of {bits:,}"
            )
        store = stack.enter_context(_open_store(settings.out / "store", recorder))
        drawn, outcome, measured = artist.draw(store, recorder, lambda: _measure(store, display))
        from memtj.demo._summary import summarise  # with the figures, which take long to load

        summary = summarise(settings, store, outcome, artist, drawn, measured)
        baseline = artist.draw_baseline() if settings.baseline else None
    summary["seconds"] = time.monotonic() - started
    from memtj.pages.demo_report import write_report

    pictures = (settings.out / "images.png").read_bytes()
    write_report(settings.out / "report.html", summary, measured.evidence, pictures, baseline)
    text = json.dumps(summary, indent=1, allow_nan=False)
    (settings.out / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _check(settings: DemoSettings) -> "Conditioning":
    """Refuse what would be refused on the way, before anything is made or started; gives the conditioning."""
    from entropy import conditioning_from_name

    out = settings.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandError(f"{out} exists and is not an empty folder: name another one with --out.")
    refuse_unwritable(out)
    conditioning = conditioning_from_name(settings.conditioning)
    if settings.bench is not None:
        Bench.from_toml(settings.bench)
    elif settings.device != DEFAULT_DEVICE:
        from mock_hw.physics import load_device

        load_device(settings.device)
    return conditioning


def _bits_of_a_picture(settings: DemoSettings, conditioning: "Conditioning") -> int:
    """Compute what a picture takes of the store: the shipped network's scheduler draws its noise once a step.

    The bill counts the draws of the scheduler itself, and is held against this; but it needs torch, and the recorder
    is to start before that is loaded.
    """
    return conditioning.bits_in(settings.steps * _BITS_OF_A_DRAW)


def _measure(store: "Store", display: ProgressDisplay) -> "Measured":
    from memtj.demo._measured import measure

    display.say("measuring the array from its raw bits")
    measured = measure(store)
    _ = measured.evidence.figures  # drawn for the report, while pictures are
    return measured


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
    settings: DemoSettings, bench: Path, device: "DeviceParameters | None", bits: int
) -> Child:
    """Start `memtj record` for so many `bits` a picture, a little more than what is drawn at a time ahead of it."""
    ahead = (4 * settings.beside + 1) * min(settings.microbatch, settings.images) * bits // 4
    logs = settings.out / "logs"
    arguments = [
        "--store",
        str(settings.out / "store"),
        "--bits",
        str(settings.images * bits),
        "--ahead",
        str(ahead),
    ]
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
