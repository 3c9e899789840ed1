"""Tuning an array over a real socket, judged by the truth of the simulated devices; the file, and recording with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from drivers import ArrayBoard
from entropy import Store
from instruments import Bench, BenchError, Conditions, Tuning, run, run_procedure
from instruments.procedures import RecordBits, Tune
from mock_hw import Lab
from mock_hw.testing import board_lab

SET_B: dict[str, Any] = {
    "voltage": 0.2915, "width": 500e-9, "period": 1.2e-6, "reset_voltage": -0.335, "reset_width": 500e-9,
    "read_voltage": 0.05,
}  # fmt: skip
WIDE = ("pulse_width = 2e-9", "pulse_width = 1e-6")
FAULTS = "SIM:FAUL:SHOR 3,4;OPEN 5,6;STUC 7,8,P;STUC 9,10,AP"
BROKEN = {(3, 4): "shorted", (5, 6): "open", (7, 8): "stuck in P", (9, 10): "stuck in AP"}


def tuned(bench_file: Path, tmp_path: Path, name: str = "tuning.json", **settings: Any) -> Tuning:
    with Bench.from_toml(bench_file) as bench:
        procedure = Tune(bench=bench, out=str(tmp_path / name), **settings)
        run_procedure(procedure, (tmp_path / name).with_suffix(".csv"))
        board: Any = bench.board.board
        assert not board.output_enabled
    assert procedure.tuning is not None
    return procedure.tuning


def truth(lab: Lab, bench_file: Path, tuning: Tuning) -> np.ndarray:
    """The probability of each cell at its trims, from P and from AP; the simulated board wastes no volt on its way."""
    file = Bench.from_toml(bench_file).file
    role, load = file.roles.board, file.array.resistance
    gain = (1 + role.source_impedance / role.assumed_load) * load / (role.source_impedance + load)
    board = lab.boxes["board"]
    known = tuning.conditions
    return np.stack([
        board.array.device.switching_probability(
            (known.voltage + tuning.voltage[index]) / gain, known.width + tuning.width[index],
            board.protection.temperature, 0.0, bool(index),
        )
        for index in (0, 1)
    ])  # fmt: skip


def judge(lab: Lab, bench_file: Path, tuning: Tuning, state: int) -> tuple[float, float]:
    """Share of the used cells within the tolerance, and within their intervals."""
    p, used, known = truth(lab, bench_file, tuning)[state], tuning.used, tuning.conditions
    within = np.abs(p - known.target) <= known.tolerance
    return float(within[used].mean()), float(
        ((p >= tuning.low[state]) & (p <= tuning.high[state]))[used].mean()
    )


def fair(covered: float, tuning: Tuning) -> bool:
    """Whether a share of so few intervals may be that of intervals which cover 95 ± 2 %; false alarms 2e-6."""
    count = int(tuning.used.sum())
    low, high = binom.ppf(1e-6, count, 0.93) / count, binom.ppf(1 - 1e-6, count, 0.97) / count
    return bool(low <= covered <= high)


def test_an_array_is_tuned_and_its_broken_cells_are_found(bench_file: Path, tmp_path: Path, lab: Lab, wire):
    wire.send(FAULTS)
    tuning = tuned(bench_file, tmp_path)
    columns = tuning.conditions.columns
    found = {divmod(int(cell), columns): tuning.reason[cell] for cell in np.flatnonzero(~tuning.used)}
    assert found == BROKEN
    within, covered = judge(lab, bench_file, tuning, 0)
    assert within >= 0.99
    assert fair(covered, tuning)
    assert tuning.pulses[tuning.used].mean() < 40_000
    assert np.isnan(tuning.p[1]).all()  # pulses from AP follow a reset only where it failed
    kept = Tuning.load(tmp_path / "tuning.json")
    assert kept.conditions == tuning.conditions
    trims = ("voltage", "width", "p", "low", "high", "per_volt", "per_second")
    for name in (*trims, "r_p", "r_ap", "threshold", "pulses"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(tuning, name))
    assert (kept.reason == tuning.reason).all()
    points = np.array(kept.curves[0][100])
    assert points[:, 2].sum() == pytest.approx(tuning.pulses[100], rel=0.01)
    rows = [line for line in (tmp_path / "tuning.csv").read_text().splitlines() if not line.startswith("#")]
    assert len(rows) == 1 + 1280


@pytest.mark.slow
def test_a_toggle_has_trims_of_its_own_for_each_direction(bench_file: Path, tmp_path: Path, lab: Lab):
    tuning = tuned(bench_file, tmp_path, mode="toggle", tolerance=0.02)
    assert (tuning.voltage[0] != tuning.voltage[1]).mean() > 0.9
    for state in (0, 1):
        within, covered = judge(lab, bench_file, tuning, state)
        assert within >= 0.99
        assert fair(covered, tuning)
    assert not (~tuning.used).any()
    with Bench.from_toml(bench_file) as bench, Store(tmp_path / "store") as store:
        settings = {"bits": 1280 * 8192, "block_bits": 2**22, "mode": "toggle"}
        summary = run(RecordBits(bench=bench, store=store, tuning=tuning, **settings), tmp_path / "rows.csv")
        assert abs(summary.ones_fraction - 0.5) < 0.003
        assert abs(summary.lag1) < 0.003
        kept = store.tuning(store.buffers()[0].uuid)
        assert kept is not None
        assert kept[0].tobytes() == tuning.table().tobytes()


def test_a_steep_spin_torque_cell_that_one_pulse_switches_one_way_only(
    tmp_path: Path, write_bench: Callable[..., Path]
):
    """Set B: either pulse switches in one direction alone; 0.05 mV move P by 0.0028."""
    with board_lab(rows=16, columns=64, device="B", seed=6) as lab:
        path = write_bench(lab.resources["board"], WIDE, rows=16, columns=64)
        tuning = tuned(path, tmp_path, **SET_B)
        assert tuning.used.all()
        within, covered = judge(lab, path, tuning, 0)
    assert within >= 0.98
    assert fair(covered, tuning)
    assert 150 < np.nanmedian(tuning.per_volt[0]) < 300


@pytest.mark.slow
def test_a_recording_applies_a_tuning_and_carries_it(bench_file: Path, tmp_path: Path, wire):
    wire.send(FAULTS)
    made = tuned(bench_file, tmp_path, target=0.3, tolerance=0.03)
    tuning = Tuning.load(tmp_path / "tuning.json")
    with Bench.from_toml(bench_file) as bench, Store(tmp_path / "store") as store:
        procedure = RecordBits(bench=bench, store=store, tuning=tuning, bits=2**21, block_bits=2**18)
        summary = run(procedure, tmp_path / "rows.csv")
        assert {(row, column) for row, column, _ in summary.quarantined} == BROKEN.keys()
        assert abs(summary.ones_fraction - 0.3) < 0.005
        (info,) = store.buffers()
        kept = store.tuning(info.uuid)
        assert kept is not None
        assert kept[0].tobytes() == made.table().tobytes()
        assert kept[1]["target"] == 0.3
        assert kept[1]["sha256"] == tuning.source["sha256"]
        np.testing.assert_allclose(store.cells(info.uuid)["threshold"], made.threshold)


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        ({}, {"voltage": 0.86}, "made with a voltage of 0.85 and 0.86 is asked for"),
        ({}, {"mode": "toggle"}, "pulses from AP are not tuned"),
        ({"rows": 40, "columns": 32}, {}, "is of 40 × 32 cells and the 'board' has 32 × 40"),
        ({"identity": "MEMTJ,ARRAY-BOARD-SIM,7,1.1"}, {}, "is of the board .*SIM,7"),
        ({"temperature": 320.0}, {}, r"\d\d\.\d K colder than when it was tuned"),
        ({"device": "another"}, {}, "is of the devices 'another'"),
    ],
)
def test_a_tuning_of_something_else_is_refused(
    bench_file: Path, tmp_path: Path, a_tuning: Path, wire, change: dict, settings: dict, said: str
):
    content = json.loads(a_tuning.read_text())
    content["conditions"] |= change
    (tmp_path / "other.json").write_text(json.dumps(content))
    with Bench.from_toml(bench_file) as bench, Store(tmp_path / "store") as store:
        tuning = Tuning.load(tmp_path / "other.json")
        procedure = RecordBits(bench=bench, store=store, tuning=tuning, bits=1000, **settings)
        with pytest.raises(BenchError, match=said):
            run(procedure, tmp_path / "rows.csv")
    assert not wire.output_is_on()


@pytest.fixture
def a_tuning(bench_file: Path, tmp_path: Path, lab: Lab) -> Path:
    """A file as `Tune` makes it, of cells that were not tuned."""
    board = ArrayBoard(lab.resources["board"])
    identity = str(board.id)
    board.close()
    known = Bench.from_toml(bench_file).array
    cells = np.zeros(1280)
    conditions = Conditions(
        mode="reset", target=0.5, tolerance=0.01, voltage=0.85, width=3e-10, period=6e-9, reset_voltage=1.28,
        reset_width=5.8e-10, read_voltage=0.1, settle=1e-6, temperature=300.0, rows=32, columns=40,
        identity=identity, device=known.device, simulated=True,
    )  # fmt: skip
    trims, nothing = np.zeros((2, 1280)), np.full((2, 1280), np.nan)
    tuning = Tuning(
        conditions, "2026-01-01T00:00:00+00:00", cells + 78e3, cells + 160e3, cells + 120e3,
        np.full(1280, "", object), cells.astype(int), trims, trims, *[nothing] * 5,
    )  # fmt: skip
    tuning.save(tmp_path / "a-tuning.json")
    return tmp_path / "a-tuning.json"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:-50], "is no tuning of this version"),
        (lambda text: text.replace('"version":1', '"version":2'), "key 'version'"),
        (lambda text: text.replace('"mode":"reset"', '"mode":"both"'), "key 'conditions.mode'"),
        (lambda text: text.replace('"pulses":[0,', '"pulses":['), "'pulses' has 1279 values for 1280 cells"),
        (lambda text: text.replace('"created"', '"made"'), "is no tuning of this version"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(a_tuning: Path, tmp_path: Path, change, said: str):
    text = a_tuning.read_text()
    assert change(text) != text
    (tmp_path / "damaged.json").write_text(change(text))
    with pytest.raises(BenchError, match=said):
        Tuning.load(tmp_path / "damaged.json")


def test_a_file_is_never_written_over_and_never_left_half(
    a_tuning: Path, bench_file: Path, tmp_path: Path, wire
):
    before = a_tuning.read_bytes()
    with Bench.from_toml(bench_file) as bench, pytest.raises(BenchError, match="exists already"):
        run_procedure(Tune(bench=bench, out=str(a_tuning)), tmp_path / "rows.csv")
    assert a_tuning.read_bytes() == before
    assert not wire.output_is_on()
    procedure = Tune(out=str(tmp_path / "stopped.json"))

    def look() -> None:
        if procedure.progress.pulses:
            raise KeyboardInterrupt

    with Bench.from_toml(bench_file) as procedure.bench, pytest.raises(KeyboardInterrupt):
        run_procedure(procedure, tmp_path / "stopped.csv", look)
    assert procedure.tuning is None
    assert not wire.output_is_on()
    assert not list(tmp_path.glob("stopped.json*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "settings", "target"),
    [("C", {}, 0.5), ("C", {}, 0.2), ("B", SET_B, 0.5), ("B", SET_B, 0.9)],
)
def test_acceptance(
    tmp_path: Path, write_bench: Callable[..., Path], device: str, settings: dict, target: float
):
    """4,096 cells with twelve broken ones: 99 % of the good ones in ± 0.01, intervals that cover 95 ± 2 %."""
    random = np.random.default_rng(17)
    where = [divmod(int(cell), 64) for cell in random.choice(4096, 12, replace=False)]
    with board_lab(device=device, seed=int(1000 * target)) as lab:
        path = write_bench(lab.resources["board"], WIDE, rows=64, columns=64)
        kinds = [("SHOR {},{}", "shorted"), ("OPEN {},{}", "open"), ("STUC {},{},P", "stuck in P"),
                 ("STUC {},{},AP", "stuck in AP")]  # fmt: skip
        board = ArrayBoard(lab.resources["board"])
        for index, cell in enumerate(where):
            board.write("SIM:FAUL:" + kinds[index % 4][0].format(*cell))
        board.check_errors()
        board.close()
        tuning = tuned(path, tmp_path, target=target, **settings)
        within, covered = judge(lab, path, tuning, 0)
    found = {divmod(int(cell), 64): tuning.reason[cell] for cell in np.flatnonzero(~tuning.used)}
    assert found == {cell: kinds[index % 4][1] for index, cell in enumerate(where)}
    assert within >= 0.99
    assert fair(covered, tuning), covered
