"""What cannot be is refused in a sentence before the output goes on, and a finished tuning is never thrown away."""

import json
import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymeasure.experiment import Procedure, Results, Worker

import instruments
from drivers import ArrayBoard, BoardError
from entropy import Store
from instruments import Bench, BenchError, Conditions, SignalPath, Trims, Tuning, run, run_procedure
from instruments._rows import Rows
from instruments.array import WorkingPoint, array_of
from instruments.procedures import BenchProcedure, RecordBits, Tune, _tune
from instruments.tuning import apply_tuning
from mock_hw.testing import board_lab

SIDE = 8
NAN, INF = math.nan, math.inf
EXAMPLE = Path(instruments.__file__).with_name("example_bench.toml")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bench file for a small array, which one lab serves to all tests here."""
    text = (
        EXAMPLE.read_text("utf-8")
        .replace("rows = 64", f"rows = {SIDE}")
        .replace("columns = 64", f"columns = {SIDE}")
    )
    path = tmp_path_factory.mktemp("bench") / "bench.toml"
    with board_lab(rows=SIDE, columns=SIDE, seed=5) as lab:
        path.write_text(text.replace("TCPIP::127.0.0.1::5025::SOCKET", lab.resources["board"]), "utf-8")
        yield path


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the board from now on."""
    lines: list[str] = []
    write = ArrayBoard.write

    def note(self: ArrayBoard, command: str, **kwargs: Any) -> None:
        lines.append(command)
        write(self, command, **kwargs)

    monkeypatch.setattr(ArrayBoard, "write", note)
    return lines


def set_by(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.endswith("?")]


# Parameters

WRONG = [
    ("voltage", NAN), ("width", NAN), ("period", NAN), ("reset_voltage", NAN), ("reset_width", NAN), ("settle", NAN),
    ("read_voltage", -INF), ("watchdog", NAN), ("settle", 2.0), ("period", 2.0), ("voltage", "0.85"), ("voltage", True),
    ("voltage", np.array([0.85])), ("voltage", None), ("voltage", 10**400),
]  # fmt: skip
WRONG_COUNTS = [
    ("bits", 1.5), ("bits", 1e5), ("bits", "8"), ("bits", True), ("bits", -1), ("bits", NAN), ("block_bits", 0),
    ("block_bits", np.float64(8)), ("retries", 1.5), ("ahead", INF), ("min_entropy", NAN), ("false_alarm", NAN),
    ("most_failing_cells", NAN), ("most_failing_blocks", INF),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [*WRONG, *WRONG_COUNTS])
def test_a_parameter_that_is_none_is_refused(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=rf"RecordBits cannot use {name} = "):
        RecordBits(**{name: value})
    procedure = RecordBits()
    setattr(procedure, name, value)
    with pytest.raises(BenchError, match=rf"RecordBits cannot use {name} = "):
        run(procedure, tmp_path / "rows.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("target", NAN), ("tolerance", NAN)])
def test_a_parameter_of_a_tuning_too(name: str, value: object) -> None:
    with pytest.raises(BenchError, match=rf"Tune cannot use {name} = "):
        Tune(**{name: value})


def test_numbers_of_numpy_are_numbers() -> None:
    procedure = RecordBits(
        bits=np.int64(8), voltage=np.float32(0.5), width=np.array(3e-10), retries=np.uint8(2)
    )
    assert (procedure.bits, procedure.voltage, procedure.width, procedure.retries) == (8, 0.5, 3e-10, 2)
    assert {type(procedure.bits), type(procedure.voltage), type(procedure.width)} == {int, float}


def test_results_files_of_pymeasure_are_still_read(tmp_path: Path) -> None:
    Results(RecordBits(voltage=0.81, bits=77), str(tmp_path / "rows.csv"))
    loaded = Results.load(str(tmp_path / "rows.csv")).procedure
    assert (loaded.voltage, loaded.bits, loaded.settle) == (0.81, 77, 1e-6)


# The role and its path


@pytest.mark.parametrize(
    "call",
    [
        lambda role: role.set_write_pulse(0.8, 3e-10, NAN),
        lambda role: role.set_write_pulse(0.8, 3e-10, 2.0),
        lambda role: role.set_write_pulse("0.8", 3e-10, 6e-9),
        lambda role: role.set_write_pulse(0.8, NAN, 6e-9),
        lambda role: role.set_write_pulse(True, 3e-10, 6e-9),
        lambda role: role.set_reset_pulse(NAN, 3e-10),
        lambda role: role.set_reset_pulse(1.0, NAN),
        lambda role: role.set_read(NAN, 1e-6),
        lambda role: role.set_read(0.1, NAN),
        lambda role: role.set_read(0.1, 2.0),
        lambda role: role.set_trims(np.full((SIDE, SIDE), NAN), 0.8),
        lambda role: role.set_trims(np.zeros((SIDE, SIDE)), NAN),
        lambda role: role.apply_trims(Trims(width_ap=NAN), 0.8, 3e-10),
        lambda role: role.apply_trims(Trims(voltage_p=np.zeros(SIDE)), 0.8, 3e-10),
        lambda role: role.apply_trims(Trims(voltage_p="0"), 0.8, 3e-10),
        lambda role: role.apply_trims(Trims(), 0.8, NAN),
        lambda role: role.trim_range(NAN),
    ],
)
def test_the_role_refuses_before_anything_is_sent(path: Path, sent: list[str], call: Callable) -> None:
    with Bench.from_toml(path) as bench:
        bench.board.set_write_pulse(0.8, 3e-10, 6e-9)
        sent.clear()
        with pytest.raises((BenchError, TypeError, ValueError)):
            call(bench.board)
        assert not set_by(sent)


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("value", [NAN, -INF, -1.0, "50", True])
def test_a_path_of_no_numbers(position: int, value: object) -> None:
    values: list[Any] = [50.0, INF, 0.0, 0.0, 180e3]
    values[position] = value
    with pytest.raises((TypeError, ValueError), match=r" is a (finite )?number"):
        SignalPath(*values)


# Recording


@pytest.fixture
def tuning(path: Path) -> Tuning:
    """One that fits the board, of cells that were not tuned."""
    with Bench.from_toml(path) as bench:
        board: Any = bench.board.board
        identity, device = str(board.id), bench.array.device
    cells = SIDE * SIDE
    conditions = Conditions(
        mode="reset", target=0.5, tolerance=0.01, voltage=0.85, width=3e-10, period=6e-9, reset_voltage=1.28,
        reset_width=5.8e-10, read_voltage=0.1, settle=1e-6, temperature=300.0, rows=SIDE, columns=SIDE,
        identity=identity, device=device, simulated=True,
    )  # fmt: skip
    both = [np.zeros((2, cells)) for _ in range(7)]
    r_p, r_ap = np.full(cells, 60e3), np.full(cells, 150e3)
    reason, pulses = np.full(cells, "", object), np.zeros(cells, int)
    return Tuning(conditions, "2026-01-01T00:00:00+00:00", r_p, r_ap, (r_p + r_ap) / 2, reason, pulses, *both)


@pytest.mark.parametrize(
    ("conditions", "cells", "said"),
    [
        ({"voltage": 0.8}, {}, "made with a voltage of 0.8 and 0.85 is asked for"),
        ({"identity": "another,board,1,1"}, {}, "is of the board 'another,board,1,1'"),
        ({"temperature": 280.0}, {}, "warmer than when it was tuned"),
        ({"device": "another"}, {}, "is of the devices 'another'"),
        ({}, {"voltage": np.full((2, SIDE * SIDE), 1.5)}, r"above limits\.pulse_voltage"),
        ({}, {"reason": np.full(SIDE * SIDE, "stuck in P", object)}, "no cell of the array can be used"),
    ],
)  # fmt: skip
def test_a_tuning_that_does_not_fit_is_refused_with_the_output_off(
    path: Path, tuning: Tuning, sent: list[str], tmp_path: Path, conditions: dict, cells: dict, said: str
) -> None:
    unfit = replace(tuning, conditions=replace(tuning.conditions, **conditions), **cells)
    with (
        Bench.from_toml(path) as bench,
        Store(tmp_path / "s") as store,
        pytest.raises(BenchError, match=said),
    ):
        run(RecordBits(bench=bench, store=store, tuning=unfit, bits=8), tmp_path / "rows.csv")
    assert "OUTP 1" not in sent
    assert not (tmp_path / "rows.csv").exists()


def test_a_recording_leaves_the_tuning_as_it_is(path: Path, tuning: Tuning) -> None:
    point = WorkingPoint("reset", 0.85, 3e-10, 6e-9, 1.28, 5.8e-10, 0.1, 1e-6)
    with Bench.from_toml(path) as bench:
        cells = apply_tuning(array_of(bench, point), tuning)
    cells.reason[3] = "fails a health test"
    assert tuning.used.all()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("target", NAN, "target is a finite number"), ("rows", 8.0, "rows is a whole number"),
        ("settle", "1e-6", "settle is a number"), ("columns", 0, "columns is a whole number from 1"),
    ],
)  # fmt: skip
def test_conditions_of_no_numbers(tuning: Tuning, name: str, value: object, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        replace(tuning.conditions, **{name: value})


@pytest.mark.parametrize(
    ("key", "value"), [("threshold", NAN), ("r_p", None), ("voltage", NAN), ("width", INF), ("settle", NAN)]
)
def test_a_file_of_no_numbers_is_damaged(tuning: Tuning, tmp_path: Path, key: str, value: object) -> None:
    tuning.save(tmp_path / "tuning.json")
    plain = json.loads((tmp_path / "tuning.json").read_text())
    section = (
        plain["conditions"]
        if key == "settle"
        else plain["states"]["p"]
        if key in ("voltage", "width")
        else plain["cells"]
    )
    section[key] = value if key == "settle" else [value, *section[key][1:]]
    (tmp_path / "tuning.json").write_text(json.dumps(plain))
    with pytest.raises(BenchError, match=rf"{tmp_path}/tuning.json.*{key}"):
        Tuning.load(tmp_path / "tuning.json")


def test_a_store_that_takes_nothing_is_refused_with_the_output_off(
    path: Path, sent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench.from_toml(path) as bench, Store(tmp_path / "s") as store:
        monkeypatch.setattr(store, "path", tmp_path / "gone")
        with pytest.raises(BenchError, match=r"the store .*gone cannot be written \(No such file"):
            run(RecordBits(bench=bench, store=store, bits=8), tmp_path / "rows.csv")
    assert "OUTP 1" not in sent


@pytest.mark.parametrize("claim", [1e-300, 0.005])
def test_a_claim_of_next_to_nothing(path: Path, sent: list[str], tmp_path: Path, claim: float) -> None:
    with Bench.from_toml(path) as bench, Store(tmp_path / "s") as store:
        with pytest.raises(BenchError, match=r"is below 0\.01: claim more"):
            run(RecordBits(bench=bench, store=store, bits=8, min_entropy=claim), tmp_path / "rows.csv")
    assert "OUTP 1" not in sent


# Tuning


def tune(path: Path, folder: Path, look: Callable[[Tune], None] = lambda _: None, **settings: Any) -> Tune:
    procedure = Tune(out=str(folder / "tuning.json"), **{"tolerance": 0.1, **settings})
    with Bench.from_toml(path) as procedure.bench:
        run_procedure(procedure, folder / "tuning.csv", lambda: look(procedure))
    return procedure


@pytest.fixture
def after_tuning(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """Have something happen once all cells are tuned, and before anything is done with that."""

    def arrange(happen: Callable[[Any], None]) -> None:
        before = _tune.tune

        def then(array: Any, *arguments: Any, **settings: Any) -> Any:
            found = before(array, *arguments, **settings)
            happen(array)
            return found

        monkeypatch.setattr(_tune, "tune", then)

    return arrange


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError, BoardError])
def test_a_tuning_that_ends_early_leaves_no_file(
    path: Path, tmp_path: Path, end: type[BaseException]
) -> None:
    def look(procedure: Tune) -> None:
        if procedure.progress.pulses:
            if end is not BoardError:
                raise end
            assert procedure.bench is not None
            procedure.bench.board.board.close()

    with pytest.raises(end):
        tune(path, tmp_path, look, tolerance=0.002)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_any_more_does_not_take_the_tuning_along(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_tuning
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(other))

    def spoil(array: Any) -> None:
        shutil.rmtree(out)
        out.write_text("a file where the folder was")

    after_tuning(spoil)
    with pytest.raises(BenchError, match=rf"tuning is kept in {other}/tuning-.*\.json, move it"):
        tune(path, out)
    (kept,) = other.iterdir()
    assert Tuning.load(kept).used.any()


def test_a_folder_that_vanishes_is_made_again(path: Path, tmp_path: Path, after_tuning) -> None:
    after_tuning(lambda array: shutil.rmtree(tmp_path / "out"))
    tune(path, tmp_path / "out")
    assert Tuning.load(tmp_path / "out" / "tuning.json").used.any()


def test_a_file_that_came_meanwhile_is_left_alone_and_the_tuning_lies_beside_it(
    path: Path, tmp_path: Path, after_tuning
) -> None:
    after_tuning(lambda array: (tmp_path / "tuning.json").write_text("mine"))
    with pytest.raises(BenchError, match=rf"exists already.* kept in {tmp_path}/tuning-.*\.json, move it"):
        tune(path, tmp_path)
    assert (tmp_path / "tuning.json").read_text() == "mine"
    (kept,) = tmp_path.glob("tuning-*.json")
    assert Tuning.load(kept).used.any()


def test_a_board_that_is_lost_at_the_end_does_not_take_the_tuning_along(
    path: Path, tmp_path: Path, after_tuning
) -> None:
    after_tuning(lambda array: array.role.board.close())
    assert tune(path, tmp_path).tuning is not None
    assert Tuning.load(tmp_path / "tuning.json").conditions.temperature == pytest.approx(300, abs=5)


@pytest.mark.skipif(os.name == "nt", reason="file-size limits are POSIX's")
def test_a_full_disk_is_said_and_leaves_nothing_half(path: Path, tmp_path: Path, after_tuning) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    after_tuning(lambda array: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1])))
    try:
        with pytest.raises(BenchError, match=r"\(File too large\).*no other folder takes it either"):
            tune(path, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_tuning_is_for_all_who_may_read_files(tuning: Tuning, tmp_path: Path) -> None:
    tuning.save(tmp_path / "tuning.json")
    (tmp_path / "other").touch()
    assert (tmp_path / "tuning.json").stat().st_mode == (tmp_path / "other").stat().st_mode


# The next pymeasure, and rows that cannot be written


class _Three(BenchProcedure):
    DATA_COLUMNS = ["Number"]  # noqa: RUF012

    def prepare(self) -> None: ...

    def measure_all(self) -> None:
        for number in range(3):
            self.emit("results", {"Number": number})
        self.emit("batch results", {"Number": [3, 4]})

    def make_safe(self) -> None: ...


def test_nothing_is_used_that_the_next_pymeasure_drops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Worker.__init__

    def without(self: Any, *arguments: Any, **settings: Any) -> None:
        begin(self, *arguments, **settings)
        del self.recorder

    monkeypatch.setattr(Worker, "__init__", without)
    monkeypatch.delattr(Procedure, "STATUS_STRINGS")
    run_procedure(_Three(), tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text().splitlines()[-6:] == ["Number", "0", "1", "2", "3", "4"]
    failing = _Three()
    monkeypatch.setattr(failing, "evaluate_metadata", lambda: 1 / 0)
    with pytest.raises(BenchError, match="ended the procedure with the status"):
        run_procedure(failing, tmp_path / "failing.csv")
    assert not (tmp_path / "failing.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is full")
def test_rows_that_cannot_be_written_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    results = Results(_Three(), str(tmp_path / "rows.csv"))
    with caplog.at_level(logging.ERROR), Rows(results, Path("/dev/full")) as rows:
        rows.write({"Number": 1})
        rows.write({"Number": 2})
        results.procedure.status = Procedure.FINISHED
    assert [record.getMessage() for record in caplog.records] == [
        "rows cannot be written to /dev/full ([Errno 28] No space left on device); the recording goes on"
    ]
