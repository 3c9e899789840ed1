"""Pictures that grow in a simulated array: their files, their accounts, and what is left of a run that ends early."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entropy import Store
from entropy.quality.draws import audit_draws
from entropy.testing import sound_accounts
from instruments import Bench, DrawCalibration
from instruments.tuning import DrawConditions
from memtj._example_bench import example_bench
from memtj.growing import place
from mock_hw import Lab
from mock_hw._array import Run, Sequence
from mock_hw.testing import BoardClient, board_lab
from sampler import TrainSettings, architecture_of_widths, load_data, load_provenance, train
from tests.conftest import patience_for
from tests.instruments.true_law import WIDTHS, true_law
from tests.memtj.conftest import Done, posix_only

ROWS, COLUMNS, SIDE, STEPS = 20, 32, 8, 16
PIXELS = SIDE * SIDE
POINTS = {
    "C": {"voltage": 0.85, "period": 6e-9, "reset_voltage": 1.28, "reset_width": 0.58e-9},
    "D": {"voltage": 1.23, "period": 30e-9, "reset_voltage": 1.255, "reset_width": 5.95e-9},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("binary") / "digits"
    small = architecture_of_widths([8, 16], image_size=SIDE)
    settings = TrainSettings(out, 6, 8, seed=1, architecture=small, process="binary", process_steps=STEPS)
    train(settings, data=load_data(size=SIDE))
    return out


@pytest.fixture
def lab() -> Iterator[Lab]:
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="C") as lab:
        yield lab


def write_bench(lab: Lab | str, folder: Path, rows: int = ROWS, columns: int = COLUMNS) -> Path:
    """Write a bench whose driver waits as long as the machine is slow, since the lab is in this process."""
    text = example_bench(lab if isinstance(lab, str) else lab.resources["board"])
    text = text.replace("rows = 64", f"rows = {rows}").replace("columns = 64", f"columns = {columns}")
    text = text.replace("pulse_width = 2e-9", "pulse_width = 6e-9\nhold_voltage = 0.5")
    text += f"\n[instruments.board.options]\ntimeout = {1000 * patience_for(5):.0f}\n"
    path = folder / "bench.toml"
    path.write_text(text, "utf-8")
    return path


def calibrated(lab: Lab, path: Path, hold: float, device: str = "C", bad: int = 0) -> Path:
    """What a perfect calibration of the lab's array would have written; its first `bad` cells are left out."""
    width, lowest, highest = WIDTHS[device]
    rows, columns = lab.arrays["board"].rows, lab.arrays["board"].columns
    with BoardClient(lab) as client:
        identity = client.ask("*IDN?")
    r_p, r_ap = lab.arrays["board"].device.resistances(0.1, 300.0, 6e-9, 1e-6)
    conditions = DrawConditions(
        mode="toggle", width=width, **POINTS[device], read_voltage=0.1, settle=1e-6, hold=hold, lowest=lowest,
        highest=highest, pulses=60_000, temperature=300.0, rows=rows, columns=columns, identity=identity,
        device="example", simulated=True,
    )  # fmt: skip
    reason = np.full(rows * columns, "", object)
    reason[:bad] = "shorted"
    law = true_law(lab, width, lowest, highest)
    DrawCalibration(conditions, "2026-01-01T00:00:00+00:00", law, r_p, r_ap, (r_p + r_ap) / 2, reason).save(
        path
    )
    return path


@pytest.fixture
def options(lab: Lab, model: Path, tmp_path: Path) -> list[Any]:
    return [
        "grow", write_bench(lab, tmp_path), "--model", model,
        "--calibration", calibrated(lab, tmp_path / "draws.npz", -0.5), "--out", tmp_path / "out",
    ]  # fmt: skip


def is_off(lab: Lab) -> bool:
    board = lab.boxes["board"]
    return not board.output and not board.field_on and board.settings.hold == 0.0


def accounts_are_of_draws(store: Path) -> int:
    accounts = sound_accounts(store)
    assert accounts.recorded == accounts.consumed
    return accounts.recorded


def says_the_same_joules(run: dict[str, Any], store: dict[str, Any]) -> None:
    """A store's account is the run's own, but for the readings before it was recorded, and for the clocks."""
    ours, theirs = (
        {term["name"]: each * term["joules"] for term in terms}
        for terms, each in (
            (store["terms"], store["bits"]),
            (run["energy_terms"], run["images"]),
        )
    )
    for name in ("write from P", "write from AP", "reset"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.01), name
    assert ours["DAC"] == pytest.approx(theirs["DAC"], rel=1e-9)
    readings = run["counts"]["readings"]
    for name in ("read", "line", "comparator", "wire"):
        assert 1 - 8 / readings < ours[name] / theirs[name] <= 1.01, name
    for name in ("hold", "magnet"):
        assert 0 < ours[name] <= theirs[name] * 1.2, name
    standing = {term["name"]: term["standing"] for term in store["terms"]}
    assert (standing["write from P"], standing["reset"]) == (
        "computed",
        "assumed" if ours["reset"] else "computed",
    )


@pytest.mark.parametrize("mode", ["flip", "write"])
def test_grown_pictures_have_their_files_accounts_and_replay(
    lab: Lab, options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path, mode: str
):
    out, live = tmp_path / "out", tmp_path / "live.png"
    done = memtj_here(
        *options, "--images", 12, "--mode", mode, "--animate", "gif", "--live", live, "--json", status=0
    ).json
    assert (done["images"], done["steps"], done["simulated"]) == (12, STEPS, True)
    assert done["bits_per_picture"] == PIXELS * (STEPS + 1)
    assert done["pulses_per_picture"] > 0
    assert 0 < done["energy_per_picture"]["junction"] < done["energy_per_picture"]["system"]
    assert (done["resets_per_picture"] > 4 * PIXELS) == (mode == "write")
    assert is_off(lab)
    assert accounts_are_of_draws(Path(done["store"])) > 12 * PIXELS * STEPS
    pictures = sorted((out / "pictures").glob("*.png"))
    assert len(pictures) == 12
    assert (out / "images.png").exists()
    assert (out / "images.gif").exists()
    assert live.exists()
    again = memtj_here(
        "replay", *pictures, "--store", done["store"], "--model", options[3], "--json", status=0
    ).json
    assert all(each["identical"] for each in again["pictures"])
    told = load_provenance(pictures[0])
    assert told["bits"]["source"] == "array"
    assert told["sampling"]["draws"] == mode
    assert len(told["bits"]["cells"]) == PIXELS
    energy = memtj_here("energy", out, "--json", status=0).json
    assert energy["terms"] == done["energy_terms"]
    assert energy["joules_per_picture"] == done["energy_per_picture"]
    assert (energy["pictures"], energy["recorded_bits"]) == (12, done["bits_per_picture"])
    says_the_same_joules(done, memtj_here("energy", done["store"], "--json", status=0).json)
    with Store(done["store"], read_only=True) as kept:
        found = audit_draws(kept, kept.buffers()[0].recording)
        assert kept.verify().ok
    assert (found.cells.tolist(), found.stream) == ([], False)
    assert 0 < found.draws <= done["counts"]["pulses"]


def test_energy_of_grown_pictures_follows_the_assumptions_and_refuses_what_is_damaged(
    options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path
):
    done = memtj_here(*options, "--images", 2, "--json", status=0).json
    own = tmp_path / "own.toml"
    own.write_text(
        '[line_capacitance]\nvalue = 2e-13\nsource = "ours"\nstanding = "measured"\n'
        '[half_voltage]\nvalue = 0.5\nsource = "ours"\n'
    )
    shipped = {each["name"]: each for each in done["energy_terms"]}
    energy = memtj_here("energy", tmp_path / "out", "--assume", own, "--json", status=0).json
    terms = {each["name"]: each for each in energy["terms"]}
    assert terms["line"]["joules"] == pytest.approx(2 * shipped["line"]["joules"])
    assert (terms["line"]["standing"], shipped["line"]["standing"]) == ("computed", "assumed")
    assert terms["reset"]["joules"] == shipped["reset"]["joules"]
    assert "with V_h = 0.6 V" in terms["write from AP"]["basis"]
    first, _ = sorted((tmp_path / "out" / "pictures").glob("*.json"))
    told = json.loads(first.read_text())
    first.write_text(json.dumps({**told, "energy": {**told["energy"], "read": -1}}))
    assert "is damaged" in memtj_here("energy", tmp_path / "out", status=1).sentence
    del told["energy"]  # as of a memtj that kept none
    first.write_text(json.dumps(told))
    older = memtj_here("energy", tmp_path / "out", "--json", status=0).json
    assert [each["standing"] for each in older["terms"]] == ["not known", "assumed"]
    told["bits"]["source"] = "os"
    first.write_text(json.dumps(told))
    assert "name a folder of one kind" in memtj_here("energy", tmp_path / "out", status=1).sentence


def test_a_reading_that_is_altered_is_no_replay(
    options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path
):
    from PIL import Image

    store = memtj_here(*options, "--images", 1, "--json", status=0).json["store"]
    (picture,) = (tmp_path / "out" / "pictures").glob("*.png")
    told = json.loads(picture.with_suffix(".json").read_text())
    told["bits"]["block"] -= 8
    picture.with_suffix(".json").write_text(json.dumps(told))
    memtj_here("replay", picture.with_suffix(".json"), "--store", store, "--model", options[3], status=1)
    with Image.open(picture) as image:
        Image.new("L", image.size).save(picture, pnginfo=None)
    memtj_here("replay", picture.with_suffix(".json"), "--store", store, "--model", options[3], status=1)


def test_set_d_grows_without_a_hold(model: Path, memtj_here: Callable[..., Done], tmp_path: Path):
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="D") as lab:
        done = memtj_here(
            "grow", write_bench(lab, tmp_path), "--model", model, "--images", 4, "--out", tmp_path / "out",
            "--calibration", calibrated(lab, tmp_path / "d.npz", 0.0, "D"), "--json", status=0,
        ).json  # fmt: skip
        assert is_off(lab)
    assert done["straying_per_step"] <= 1e-3


def test_an_array_that_forgets_is_refused_before_anything_is_made(
    lab: Lab, options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path
):
    options[5] = calibrated(lab, tmp_path / "loose.npz", 0.0)
    said = memtj_here(*options, "--images", 4, status=1).sentence
    assert "of the cells flip by themselves in a step" in said
    assert "hold a voltage that keeps them" in said
    assert not (tmp_path / "out").exists()
    assert is_off(lab)


def test_quarantined_cells_have_spares_or_the_run_is_refused(
    lab: Lab, options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path
):
    options[5] = calibrated(lab, tmp_path / "bad.npz", -0.5, bad=70)
    memtj_here(*options, "--images", 8, status=0)
    told = [load_provenance(path) for path in (tmp_path / "out" / "pictures").glob("*.png")]
    cells = np.concatenate([each["bits"]["cells"] for each in told])
    assert cells.min() >= 70
    assert len(set(cells.tolist())) == 8 * PIXELS
    options[5] = calibrated(lab, tmp_path / "worse.npz", -0.5, bad=ROWS * COLUMNS - 10)
    options[7] = tmp_path / "other"
    assert (
        "need 64 cells, and 10 of 640 can be used" in memtj_here(*options, "--images", 1, status=1).sentence
    )
    assert not (tmp_path / "other").exists()


def test_cells_that_fail_stop_the_run_and_what_was_made_stays(
    lab: Lab, options: list[Any], meanwhile: Callable[..., Done], wait_until: Callable, tmp_path: Path
):
    pictures = tmp_path / "out" / "pictures"

    def stick() -> None:
        wait_until(lambda: len(list(pictures.glob("*.png"))) >= 10, 60, "no picture is made")
        with BoardClient(lab) as client:
            for column in range(8):
                assert client.errors(f"SIM:FAUL:STUC 3,{column},AP") == []

    assert "8 cells fail to be reset" in meanwhile(stick, *options, "--images", 500, status=1).sentence
    assert len(list(pictures.glob("*.png"))) >= 10
    assert is_off(lab)
    accounts_are_of_draws(tmp_path / "out" / "store")


def test_a_column_that_no_pulse_switches_is_found_before_a_picture_is_made(
    lab: Lab, options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path
):
    with BoardClient(lab) as client:
        for row in range(ROWS):
            assert client.errors(f"SIM:FAUL:STUC {row},5,P") == []
    said = memtj_here(*options, "--images", 10, status=1).sentence
    assert f"{ROWS} cells do not draw with the probabilities" in said
    assert "row 0, column 5" in said
    assert is_off(lab)
    assert not list((tmp_path / "out").glob("pictures/*"))


def test_cells_that_draw_with_other_probabilities_stop_the_run_at_once(
    lab: Lab, options: list[Any], memtj_here: Callable[..., Done], tmp_path: Path
):
    known = DrawCalibration.load(options[5])
    off = replace(known.law, volts=np.minimum(1.08 * known.law.volts, known.law.highest))
    options[5] = tmp_path / "off.npz"
    replace(known, law=off).save(options[5])
    said = memtj_here(*options, "--images", 10, status=1).sentence
    assert "the cells together do not draw with the probabilities that they are asked for" in said
    assert is_off(lab)
    assert not list((tmp_path / "out").glob("pictures/*"))
    assert accounts_are_of_draws(tmp_path / "out" / "store") == 2 * ROWS * COLUMNS


@pytest.fixture
def at_the_junctions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, float]]:
    """The highest pulse, hold and read voltage of every run of pulses, as the simulated cells have them."""
    seen, begin = list[tuple[float, float, float]](), Run.__init__

    def begun(run: Run, array: Any, sequence: Sequence, **more: bool) -> None:
        pulses = [np.abs(sequence.write_pulse(state)[0]).max() for state in (False, True)]
        seen.append((max(*pulses, abs(sequence.reset_voltage)), abs(sequence.hold), sequence.read_voltage))
        begin(run, array, sequence, **more)

    monkeypatch.setattr(Run, "__init__", begun)
    return seen


@posix_only
@pytest.mark.parametrize(
    ("how", "bits"),
    [
        (signal.SIGINT, 5000),
        (signal.SIGTERM, 15000),
        (signal.SIGKILL, 1),
        (signal.SIGKILL, 5000),
        (signal.SIGKILL, 15000),
    ],
)
def test_an_end_at_any_moment_leaves_accounts_exact_and_everything_off(
    lab: Lab,
    options: list[Any],
    start: Callable,
    end: Callable,
    recorded: Callable[[Path, int], None],
    wait_until: Callable,
    tmp_path: Path,
    how: signal.Signals,
    bits: int,
    at_the_junctions: list[tuple[float, float, float]],
):
    run = start(*options, "--images", 500)
    recorded(tmp_path / "out" / "store", bits)
    end(run, how)
    wait_until(lambda: is_off(lab), 5, "something is on")
    assert accounts_are_of_draws(tmp_path / "out" / "store") >= bits
    with Store(tmp_path / "out" / "store") as store:
        assert all(info.drawn for info in store.buffers())
    bench = Bench.from_toml(options[1])
    # The lab has the volts of an open circuit, where the source's 50 ohms take their share.
    share = bench.array.resistance / (bench.array.resistance + 50)
    pulse, hold, read = share * np.max(at_the_junctions, axis=0)
    assert 0.8 < pulse <= bench.limits.pulse_voltage
    assert hold == pytest.approx(bench.limits.hold_voltage)
    assert 0 < read <= bench.limits.read_voltage


@posix_only
def test_a_run_that_ended_early_is_gone_on_with(
    lab: Lab, options: list[Any], start: Callable, end: Callable, wait_until: Callable, memtj_here: Callable[..., Done],
    tmp_path: Path,
):  # fmt: skip
    out = tmp_path / "out"
    run = start(*options, "--images", 35)
    wait_until(lambda: len(list(out.glob("pictures/*.png"))) >= 10, 60, "no lot is read out")
    end(run, signal.SIGKILL)
    wait_until(lambda: is_off(lab), 5, "something is on")
    kept = {path: path.read_bytes() for path in out.glob("pictures/[0-9]*.png")}
    resume = [*options[: options.index("--out")], "--resume", out]
    for wrong in (["--mode", "flip"], ["--most-lost", 0.1]):
        assert f"{wrong[0]} means nothing" in memtj_here(*resume, *wrong, status=1).sentence
    done = memtj_here(*resume, "--json", status=0).json
    pictures = sorted(out.glob("pictures/*.png"))
    assert (done["images"], done["grown"], len(pictures)) == (35, 35 - len(kept), 35)
    assert done["bits_per_picture"] == PIXELS * (STEPS + 1)
    assert all(path.read_bytes() == old for path, old in kept.items())
    replay = ["replay", *pictures, "--store", done["store"], "--model", options[3]]
    assert all(each["identical"] for each in memtj_here(*replay, "--json", status=0).json["pictures"])
    accounts_are_of_draws(Path(done["store"]))
    assert "is finished: its pictures are there" in memtj_here(*resume, status=1).sentence


def test_pixels_have_cells_of_their_own():
    used = np.random.default_rng(1).random(12 * 20) < 0.8
    cells = place(used, (12, 20), 4, 5, 6)
    assert cells.shape == (4, 30)
    assert used[cells].all()
    assert len(np.unique(cells)) == 120
