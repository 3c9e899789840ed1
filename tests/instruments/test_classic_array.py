"""An array of one junction between a generator and a source-meter, over a lab: its bits against the simulated truth."""

import contextlib
import math
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

import instruments
from entropy import Store
from entropy.testing import sound_accounts
from instruments import Bench, BenchError, run, run_procedure
from instruments.array import ClassicArray, Trims, WorkingPoint, array_of, blocks_of
from instruments.bench.adapters import Keithley2400Readout
from instruments.procedures import CalibrateDraws, RecordBits, Tune
from instruments.tuning import measure_states
from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient, address_of

EXAMPLE = Path(instruments.__file__).with_name("example_bench_33500_2400.toml")
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "leads": 2.0},
    },
}
POINT = WorkingPoint("reset", 0.3, 500e-9, 1.2e-6, -0.335, 500e-9, 0.05, 1e-4)
LIMIT = 0.45  # V, of the example
FALSE_ALARM = 1e-7  # of each interval; fewer than ten in this file


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=11) as lab:
        yield lab
        world = lab.junctions["mtj"]
        assert world.largest_voltage <= LIMIT * (1 + 1e-9)  # that of all sources together, in every test
        assert device(lab, "generator").relays == 0


Write = Callable[..., Path]


def device(lab: Lab, name: str) -> Any:
    """What is behind the wire of a box."""
    return lab.instruments[name].device


@pytest.fixture
def write(lab: Lab, tmp_path: Path) -> Write:
    """Write the example with other lines."""

    def write(*changes: tuple[str, str], generator: str = "") -> Path:
        text = EXAMPLE.read_text("utf-8")
        for old, new in (
            ("TCPIP::127.0.0.1::5025::SOCKET", generator or lab.resources["generator"]),
            ("TCPIP::127.0.0.1::5026::SOCKET", lab.resources["meter"]),
            *changes,
        ):
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def never() -> bool:
    return False


def outputs(lab: Lab) -> list[bool]:
    return [device(lab, name).settings.output for name in ("generator", "meter")]


@contextlib.contextmanager
def switched_on(path: Path, point: WorkingPoint = POINT) -> Iterator[ClassicArray]:
    with Bench.from_toml(path) as bench:
        array = array_of(bench, point)
        assert isinstance(array, ClassicArray)
        array.set_working_point(point)
        array.set_thresholds(np.array([1600.0]))
        array.switch_on(5.0)
        yield array


def truth(lab: Lab, volts: float, antiparallel: bool, point: WorkingPoint = POINT) -> float:
    """With what probability the junction switches, from the volts at the two boxes that make `volts` at it.

    Paths and leads divide with its own resistance, which in P is half of the one that the bench file has.
    """
    world = lab.junctions["mtj"]
    emf = (volts - point.read_voltage) * (50 + 2.2e3) / 2.2e3
    read = point.read_voltage * (2 + 2.2e3) / 2.2e3
    across = world.share(emf, 50.0, antiparallel) + world.share(read, 2.0, antiparallel)
    device = world.array.device
    return float(device.switching_probability(np.array([across]), 500e-9, 300.0, 0.0, antiparallel)[0])


def is_likely(hits: int, trials: int, p: float) -> bool:
    """Whether so many hits are within the Clopper-Pearson interval about p, whose false-alarm rate is FALSE_ALARM."""
    low = beta.ppf(FALSE_ALARM / 2, hits, trials - hits + 1) if hits else 0.0
    high = beta.isf(FALSE_ALARM / 2, hits + 1, trials - hits) if hits < trials else 1.0
    return bool(low <= p <= high)


@pytest.mark.parametrize("pulses", [800, pytest.param(20_000, marks=pytest.mark.slow)])
def test_bits_failed_resets_and_resistances_are_those_of_the_simulated_junction(
    lab: Lab, write: Write, pulses: int
) -> None:
    world = lab.junctions["mtj"]
    weak = next(volts for volts in np.arange(-0.2, -0.34, -5e-4) if truth(lab, float(volts), True) > 0.7)
    point = replace(POINT, reset_voltage=float(weak))
    with switched_on(write(), point) as array:
        for state in (False, True):
            while world.antiparallel != state:
                world.array.flip()
            assert array.resistances()[0] == pytest.approx(world.resistance(0.05, state), rel=2e-3)
        blocks = list(blocks_of(array, pulses, never))
        assert math.isfinite(array.pulse_seconds)
    assert sum(block.pulses for block in blocks) == pulses
    assert [block.sequence for block in blocks] == list(range(len(blocks)))
    failed = valid = ones = resets = 0
    for block in blocks:
        bits = np.unpackbits(block.bits, count=block.pulses).astype(bool)
        usable = np.ones(block.pulses, bool)
        if block.valid is not None:
            usable = np.unpackbits(block.valid, count=block.pulses).astype(bool)
        failed += block.failed_resets
        assert block.failed_resets == (~usable).sum()
        valid, ones, resets = valid + usable.sum(), ones + bits[usable].sum(), resets + bits.sum()
    assert is_likely(int(ones), int(valid), truth(lab, POINT.voltage, False))
    assert failed > 10
    assert is_likely(int(failed), int(resets), 1 - truth(lab, float(weak), True))
    assert outputs(lab) == [False, False]


def test_pulses_of_the_boxes_make_the_volts_of_the_working_point(lab: Lab, write: Write) -> None:
    """Write, reset and trimmed pulses, at the junction in the state that each is meant for."""
    world = lab.junctions["mtj"]
    with switched_on(write(("resistance = 2.2e3", "resistance = 1.1e3"))) as array:
        for volts, antiparallel in ((0.3, False), (0.28, False), (-0.335, True)):
            array.set_trims(Trims(voltage_p=volts - 0.3, voltage_ap=volts - 0.3))
            if world.antiparallel != antiparallel:
                world.array.flip()
            array.resistances()
            world.largest_voltage = 0.0
            next(array.acquire(1, 1)) if antiparallel else array.toggle_readings(1, never)
            assert world.largest_voltage == pytest.approx(abs(volts), abs=0.012 if antiparallel else 2e-3)


def test_what_it_is(lab: Lab, write: Write) -> None:
    with switched_on(write()) as array:
        assert (array.simulated, array.shape, array.temperature(), array.device) == (
            True,
            (1, 1),
            300.0,
            "example",
        )
        assert array.identity.startswith("Agilent Technologies,33521A,0001,SIM-")
        assert outputs(lab) == [True, True]
        array.keep_alive()
        low, high = array.trim_range()
        assert array.set_trims(Trims(voltage_p=high, voltage_ap=high)) == 1
        assert array.set_trims(Trims(voltage_p=high, voltage_ap=high)) == 0
        for volts in (low - 1e-4, high + 1e-4):
            with pytest.raises(BenchError, match=r"limits\.pulse_voltage"):
                array.set_trims(Trims(voltage_p=volts, voltage_ap=volts))
        for trims in (Trims(width_p=1e-9), Trims(voltage_p=0.01)):
            with pytest.raises(BenchError, match="trim the voltage alone, and both directions together"):
                array.set_trims(trims)
        array.set_trims(Trims())
        assert array.longest_pulse() == pytest.approx(0.6e-6)
        with pytest.raises(BenchError, match="with the output off"):
            array.set_working_point(replace(POINT, read_voltage=0.04))
        assert array.switch_off()
        assert outputs(lab) == [False, False]
        with pytest.raises(BenchError, match="prepare first"):
            array.resistances()


def test_a_toggle_has_no_resets_and_blocks_come_whole(lab: Lab, write: Write) -> None:
    with switched_on(write(), replace(POINT, mode="toggle", voltage=0.34)) as array:
        acquisition = array.acquire(0, 10)
        blocks = []
        while len(blocks) < 3:
            block = next(acquisition)
            blocks += [] if block is None else [block]
        assert not acquisition.ended
        acquisition.abort()
        assert acquisition.ended
    assert all(block.valid is None and block.pulses == 10 for block in blocks)
    assert np.unpackbits(blocks[-1].bits, count=10).all()  # the first pulse has left it antiparallel


def test_both_states_are_found_from_cold(lab: Lab, write: Write) -> None:
    with switched_on(write()) as array:
        cells = measure_states(array, never)
        world = lab.junctions["mtj"]
        assert cells.used.all()
        assert cells.r_p[0] == pytest.approx(world.resistance(0.05, False), rel=2e-3)
        assert cells.r_ap[0] == pytest.approx(world.resistance(0.05, True), rel=2e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"voltage": 0.45}, r"limits\.pulse_voltage = 0\.45 V"),
        ({"reset_voltage": -0.40}, r"limits\.pulse_voltage = 0\.45 V"),
        ({"width": 1.1e-6}, r"limits\.pulse_width"),
        ({"reset_width": 1.1e-6}, r"limits\.pulse_width"),
        ({"period": 0.9e-6}, r"limits\.duty"),
        ({"read_voltage": 0.07}, r"limits\.read_voltage"),
        ({"read_voltage": 0.0}, "reads no resistance"),
    ],
)
def test_a_point_above_a_limit_is_refused_before_anything_is_sent(
    lab: Lab, write: Write, changes: dict[str, float], said: str
) -> None:
    with Bench.from_toml(write()) as bench, pytest.raises(BenchError, match=said):
        array_of(bench, POINT).set_working_point(replace(POINT, **changes))
    assert lab.junctions["mtj"].largest_voltage == 0.0


def test_what_needs_a_board_is_refused_in_one_sentence(lab: Lab, write: Write, tmp_path: Path) -> None:
    with Bench.from_toml(write()) as bench:
        array, codes = array_of(bench, POINT), np.zeros(1, int)
        array.set_working_point(POINT)
        for act in (
            array.require_draws, array.dac, lambda: array.set_dac_range(0, 1), lambda: array.set_pulse_table(codes),
            lambda: array.draw_once("write"), lambda: array.hold(0.1), lambda: array.field(False),
            lambda: array.acquire(1, 1, mode="flip"), lambda: array.switch_on(5.0, hold=0.1),
        ):  # fmt: skip
            with pytest.raises(BenchError, match="use a bench with an array board"):
                act()
        array.set_mask(False)
        with pytest.raises(BenchError, match="nothing to pulse"):
            array.acquire(1, 1)
        with pytest.raises(BenchError, match="start again"):
            array.reconnect()
        calibrate = CalibrateDraws(bench=bench, out=str(tmp_path / "draws.npz"), **parameters())
        with pytest.raises(BenchError, match="use the mode 'reset', or an array board"):
            run_procedure(calibrate, tmp_path / "rows.csv")
        with pytest.raises(BenchError, match=r"no \[roles\.board\]"):
            _ = bench.board
    with pytest.raises(BenchError, match="is not open"):
        _ = bench.readout
    with (
        Bench.from_toml(write(("temperature = 300.0 ", ""))) as bench,
        pytest.raises(BenchError, match=r"give 'temperature' \(kelvin\) in \[array\]"),
    ):
        array_of(bench, POINT)
    assert lab.junctions["mtj"].largest_voltage == 0.0


def parameters(**more: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(POINT).items() if name != "mode"} | more


def test_an_output_that_is_on_is_left_to_the_program_that_uses_it(lab: Lab, write: Write) -> None:
    with BoardClient(lab.resources["meter"]) as box:
        box.send("OUTP 1")
        with pytest.raises(BenchError, match=r"output of the 'meter' is on.*'memtj bench off'"):
            Bench.from_toml(write()).__enter__()
        assert box.ask("OUTP?") == "1"


class Enough(KeyboardInterrupt):
    """The test has seen enough."""


def start(path: Path, folder: Path, look: Callable[[RecordBits], None], **more: Any) -> RecordBits:
    with Bench.from_toml(path) as bench, Store(folder / "store") as store:
        procedure = RecordBits(bench=bench, store=store, calibrate=False, **parameters(bits=0) | more)
        run(procedure, folder / "rows.csv", lambda _: look(procedure))
    return procedure


def test_ctrl_c_keeps_what_was_recorded_and_ends_with_both_off(
    lab: Lab, write: Write, tmp_path: Path
) -> None:
    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks >= 2:
            assert outputs(lab) == [True, True]
            raise Enough

    with pytest.raises(Enough):
        start(write(), tmp_path, look, block_bits=100)
    assert outputs(lab) == [False, False]
    with Store(tmp_path / "store") as store:
        assert sound_accounts(store).recorded >= 150
        (buffer,) = store.buffers()
        assert buffer.simulated


def test_a_failure_in_between_ends_with_both_off(
    lab: Lab, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = Keithley2400Readout.read, iter(range(1000))

    def fails(self: Keithley2400Readout) -> float:
        if next(count) == 300:
            assert outputs(lab) == [True, True]
            raise BenchError("enough of it")
        return read(self)

    monkeypatch.setattr(Keithley2400Readout, "read", fails)
    with pytest.raises(BenchError, match="enough of it"):
        start(write(), tmp_path, lambda _: None)
    assert outputs(lab) == [False, False]


@pytest.fixture
def wire(lab: Lab) -> Iterator[tuple[str, Callable[..., None]]]:
    """A wire to the generator that can be cut; whoever connects again has another one, unless `for_good`."""
    ends: list[socket.socket] = []

    def carry(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                to.sendall(data)
        to.close()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, far = (
                    server.accept()[0],
                    socket.create_connection(address_of(lab.resources["generator"])),
                )
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=carry, args=(one, other), daemon=True).start()
                ends.extend((near, far))

    def cut(*, for_good: bool = False) -> None:
        for end in (server, *ends) if for_good else ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        ends.clear()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET", cut
        cut(for_good=True)
        thread.join(5)


def test_a_cut_wire_ends_it_and_both_are_off_by_another_connection(
    lab: Lab,
    write: Write,
    wire: tuple[str, Callable[..., None]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    resource, cut = wire

    def look(procedure: RecordBits) -> None:
        if procedure.progress.stage == "trims":
            cut()

    with pytest.raises(BenchError, match=r"the 'generator' does not answer|the 'generator' does not take"):
        start(write(generator=resource), tmp_path, look)
    assert outputs(lab) == [False, False]
    assert "safe, confirmed over a new connection" in caplog.text


def test_a_box_that_cannot_be_reached_any_more_is_named_with_what_to_do(
    lab: Lab, write: Write, wire: tuple[str, Callable[..., None]], caplog: pytest.LogCaptureFixture
) -> None:
    resource, cut = wire
    with switched_on(write(generator=resource)) as array:
        cut(for_good=True)
        with pytest.raises(BenchError, match="the 'generator'"):
            array.toggle_readings(1, never)
    assert "it has no watchdog, so switch it off by hand" in caplog.text
    assert outputs(lab) == [True, False]  # the meter is off, whatever became of the generator


@pytest.mark.slow
def test_it_is_tuned_as_an_array_is(lab: Lab, write: Write, tmp_path: Path) -> None:
    with Bench.from_toml(write()) as bench:
        tune = Tune(bench=bench, out=str(tmp_path / "tuning.json"), tolerance=0.03, **parameters())
        run_procedure(tune, tmp_path / "rows.csv")
        tuning = tune.tuning
        assert tuning is not None
    p = truth(lab, POINT.voltage + float(tuning.voltage[0, 0]), False)
    assert p == pytest.approx(0.5, abs=0.08)
    assert outputs(lab) == [False, False]
