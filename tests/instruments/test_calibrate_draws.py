"""Draws calibrated over a real socket, judged by the truth of the simulated devices; the file, and what is refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.bernoulli import POINTS, PROBABILITIES, measure_board, true_probabilities
from entropy import CELL_DTYPE, RecordingPlan
from instruments import Bench, BenchError, DrawCalibration, DrawConditions, run_procedure
from instruments.array import SwitchingLaw, WorkingPoint
from instruments.procedures import CalibrateDraws
from mock_hw import Lab
from mock_hw.testing import BoardClient, board_lab

SIDE = 16
CONDITIONS = DrawConditions(
    "toggle", 0.85, 0.58e-9, 6e-9, 1.28, 0.58e-9, 0.1, 1e-6, -0.5, 0.35, 1.05, 6000, 300.0, 4, 8,
    "MEMTJ,ARRAY-BOARD-SIM,0001,1.2", "example", True,
)  # fmt: skip


@pytest.fixture
def lab() -> Iterator[Lab]:
    with board_lab(rows=SIDE, columns=SIDE, seed=5) as lab:
        yield lab


@pytest.fixture
def held_bench(resource: str, write_bench: Callable[..., Path]) -> Path:
    return write_bench(resource, ("duty = 0.5", "hold_voltage = 0.6\nduty = 0.5"), rows=SIDE, columns=SIDE)


def test_an_array_is_calibrated_and_its_broken_cells_are_found(
    held_bench: Path, tmp_path: Path, lab: Lab, wire: BoardClient
):
    wire.send("SIM:FAUL:SHOR 3,4;OPEN 5,6;STUC 7,8,P;STUC 9,10,AP")
    with Bench.from_toml(held_bench) as bench:
        procedure = CalibrateDraws(bench=bench, out=str(tmp_path / "draws.npz"), pulses=8000, **POINTS["C"])
        run_procedure(procedure, tmp_path / "rows.csv")
        gain = bench.board.path.gain
    assert not wire.output_is_on()
    assert lab.boxes["board"].settings.hold == 0
    found = procedure.calibration
    assert found is not None
    broken = {divmod(int(cell), SIDE): found.reason[cell] for cell in np.flatnonzero(~found.used)}
    assert broken == {(3, 4): "shorted", (5, 6): "open", (7, 8): "stuck in P", (9, 10): "stuck in AP"}
    known, board = found.conditions, lab.boxes["board"]
    assert 6000 < known.pulses <= 8000
    assert (known.hold, known.rows, known.columns, known.simulated) == (-0.5, SIDE, SIDE, True)
    off = []
    for p in PROBABILITIES:
        volts = np.stack([found.law.voltage(p, state)[0] for state in (False, True)])
        truth = true_probabilities(
            board.array.device, volts / gain, known.width, board.protection.temperature
        )
        off.append((truth - p)[:, found.used])
    assert np.abs(off).mean() < 0.012
    assert np.abs(np.mean(off, axis=(1, 2))).max() < 0.006
    assert len(list((tmp_path / "rows.csv").read_text().splitlines())) > 2 * SIDE**2
    # A buffer carries it like a tuning.
    plan = RecordingPlan(np.zeros(SIDE**2, CELL_DTYPE), {}, {}, True, drawn=True, **found.record())
    assert plan.tuning is not None
    assert plan.conditions is not None
    json.dumps(plan.conditions)
    assert plan.conditions["sha256"] == found.source["sha256"]
    assert plan.tuning["reason"][3 * SIDE + 4] == b"shorted"
    assert (plan.tuning["p_from_ap_low"] < 0.5).all()
    assert (plan.tuning["per_volt_p"][found.used] > 5).all()


def test_what_is_stopped_leaves_no_file_and_the_output_off(
    held_bench: Path, tmp_path: Path, wire: BoardClient
):
    procedure = CalibrateDraws(out=str(tmp_path / "stopped.npz"), **POINTS["C"])

    def look() -> None:
        if procedure.progress.given:
            raise KeyboardInterrupt

    with Bench.from_toml(held_bench) as procedure.bench, pytest.raises(KeyboardInterrupt):
        run_procedure(procedure, tmp_path / "stopped.csv", look)
    assert procedure.calibration is None
    assert not wire.output_is_on()
    assert not list(tmp_path.glob("stopped.npz*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": 0.1e-9}, r"do not begin to switch between 0 and 1\.3 V: choose another width"),
        ({"hold": -0.7}, r"above limits\.hold_voltage = 0\.6 V"),
        ({"pulses": 100}, "it goes from 3000 to"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    held_bench: Path, tmp_path: Path, wire: BoardClient, settings: dict[str, Any], said: str
):
    settings = {"out": str(tmp_path / "none.npz"), **POINTS["C"], **settings}

    def calibrate(bench: Bench) -> None:
        run_procedure(CalibrateDraws(bench=bench, **settings), tmp_path / "none.csv")

    with Bench.from_toml(held_bench) as bench, pytest.raises(BenchError, match=said):
        calibrate(bench)
    assert not wire.output_is_on()
    assert not (tmp_path / "none.npz").exists()


@pytest.fixture
def calibration() -> DrawCalibration:
    """One of cells that nobody has measured, a hundredth of a volt apart."""
    logits, cells = np.linspace(-7, 7, 141), 32
    volts = 0.65 + 0.01 * np.arange(2 * cells).reshape(2, cells, 1) / cells + 0.04 * logits
    sigma = np.full(volts.shape, 1e-3) * (1 + np.abs(logits))
    ohms = [np.full(cells, each) for each in (78e3, 160e3, 120e3)]
    reason = np.full(cells, "", object)
    reason[7] = "stuck in P"
    law = SwitchingLaw(logits, volts, sigma, CONDITIONS.lowest, CONDITIONS.highest)
    return DrawCalibration(CONDITIONS, "2026-01-01T00:00:00+00:00", law, ohms[0], ohms[1], ohms[2], reason)


def test_a_file_gives_back_what_was_found(calibration: DrawCalibration, tmp_path: Path):
    calibration.save(tmp_path / "draws.npz")
    kept = DrawCalibration.load(tmp_path / "draws.npz")
    assert kept.conditions == calibration.conditions
    assert kept.created == calibration.created
    assert (kept.reason == calibration.reason).all()
    for name in ("r_p", "r_ap", "threshold"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(calibration, name))
    for p in PROBABILITIES:
        for state in (False, True):
            volts, sigma = calibration.law.voltage(p, state)
            again, kept_sigma = kept.law.voltage(p, state)
            np.testing.assert_allclose(again, volts, atol=2e-5)
            np.testing.assert_allclose(kept_sigma, sigma, rtol=0.05)
    with pytest.raises(BenchError, match="exists already"):
        calibration.save(tmp_path / "draws.npz")


def changed_header(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with np.load(path) as file:
            content = dict(file)
        header = json.loads(bytes(content["header"]))
        change(header)
        content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **content)

    return write


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-400]), "not a zip file"),
        (lambda path: path.write_bytes(b""), r"damaged \("),
        (lambda path: path.write_text('{"format": "memtj-tuning"}'), r"damaged \("),
        (lambda path: np.savez(path, header=np.zeros(3)), r"damaged \("),
        (changed_header(lambda header: header.update(version=2)), "'memtj-draws', version 2"),
        (changed_header(lambda header: header["conditions"].update(rows=5)), "for each of 40 cells"),
        (changed_header(lambda header: header["conditions"].update(mode="both")), r"key 'conditions\.mode"),
        (changed_header(lambda header: header["conditions"].pop("width")), r"key 'conditions\.width"),
        (changed_header(lambda header: header.pop("reason")), "there is no 'reason'"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(
    calibration: DrawCalibration, tmp_path: Path, damage: Callable[[Path], object], said: str
):
    path = tmp_path / "damaged.npz"
    calibration.save(path)
    damage(path)
    with pytest.raises(BenchError, match=said) as refused:
        DrawCalibration.load(path)
    assert "\n" not in str(refused.value)
    assert "memtj calibrate" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"columns": 16, "rows": 2}, "the calibration is of 2 × 16 cells and the 'board' has 4 × 8"),
        ({"identity": "MEMTJ,ARRAY-BOARD-SIM,7,1.2"}, "is of the board .*SIM,7"),
        ({"device": "another"}, "is of the devices 'another'"),
        ({"width": 0.6e-9}, "made with a width of 6e-10 and 5.8e-10 is asked for"),
        ({"temperature": 320.0}, r"20\.0 K colder than when it was calibrated"),
    ],
)
def test_a_calibration_of_something_else_is_refused(
    calibration: DrawCalibration, change: dict[str, Any], said: str
):
    point = WorkingPoint("toggle", 0.9, 0.58e-9, 6e-9, 1.28, 0.58e-9, 0.1, 1e-6)
    array: Any = SimpleNamespace(
        shape=(4, 8), name="board", identity="MEMTJ,ARRAY-BOARD-SIM,0001,1.3", device="example", point=point,
        temperature=lambda: 300.0,
    )  # fmt: skip
    other = replace(calibration, conditions=replace(CONDITIONS, **change))
    if not said:
        other.refuse_other(array)
        return
    with pytest.raises(BenchError, match=said):
        other.refuse_other(array)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "pulses", "mean_error"), [("C", 60_000, 0.007), ("C", 15_000, 0.01), ("D", 60_000, 0.007)]
)
def test_acceptance(device: str, pulses: int, mean_error: float):
    """1,024 cells over the wire, with codes of 8 bits."""
    found = measure_board(device, pulses)
    assert found["pulses"] <= pulses
    assert found["mean_error"] <= mean_error
    assert found["quantile_99"] <= 0.03
    assert found["largest_mean"] <= 0.002
    assert 0.9 <= found["covered"] <= 0.99
