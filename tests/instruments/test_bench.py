"""The bench over a real wire: who is there, limits at three depths, and every exit safe."""

import contextlib
import json
import logging
import math
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drivers import ArrayBoard, BoardError
from instruments import Bench, BenchError, SignalPath, Terminated
from instruments.bench import SafeStep
from mock_hw import Lab
from mock_hw.testing import canned_board

from .conftest import is_refused, wrong


def test_gain_of_the_path():
    open_circuit = SignalPath(50.0, math.inf, 0.0, 0.0, 180e3)
    assert open_circuit.gain == pytest.approx(180e3 / 180.05e3)
    # A generator set for 50 Ω puts twice its display across 78 kΩ (to 50 / 78,050).
    matched = SignalPath(50.0, 50.0, 0.0, 0.0, 78e3)
    assert matched.gain == pytest.approx(2 * 78e3 / 78.05e3)
    assert SignalPath(50.0, 50.0, 20.0, 0.1, 78e3).peak_gain == pytest.approx(0.11 * matched.gain)


def test_limits_reach_driver_and_board_before_any_output(bench_file: Path, resource: str, wire):
    assert float(wire.ask("LIM:VOLT?")) == 2.0
    with Bench.from_toml(bench_file) as bench:
        gain = bench.board.path.gain
        assert float(wire.ask("LIM:VOLT?")) == pytest.approx(1.8 / gain, rel=1e-9)
        assert float(wire.ask("LIM:WIDT?")) == pytest.approx(2e-9)
        assert float(wire.ask("LIM:READ?")) == pytest.approx(0.2 / gain, rel=1e-9)
        assert not wire.output_is_on()
    # The board's limits survive, so the next program is held by them too.
    assert float(wire.ask("LIM:VOLT?")) == pytest.approx(1.8 / gain, rel=1e-9)


def test_a_path_with_gain_lowers_the_limit_of_the_box(resource: str, write_bench, wire):
    path = write_bench(
        resource, ("assumed_load = inf", "assumed_load = 50.0"), ("overshoot = 0.0", "overshoot = 0.25")
    )
    with Bench.from_toml(path) as bench:
        board = bench.board
        assert float(wire.ask("LIM:VOLT?")) == pytest.approx(1.8 / (2 * 1.25), rel=1e-3)
        board.set_write_pulse(1.44, 1e-9, 6e-9)  # 1.8 V with its overshoot
        assert float(wire.ask("PULS:VOLT?")) == pytest.approx(0.72, rel=1e-3)
        with pytest.raises(BenchError, match="pulse_voltage"):
            board.set_write_pulse(1.45, 1e-9, 6e-9)


@pytest.mark.parametrize(
    ("pulse", "key"),
    [
        ((1.801, 0.3e-9, 6e-9), "pulse_voltage"),
        ((-1.801, 0.3e-9, 6e-9), "pulse_voltage"),
        ((math.nan, 0.3e-9, 6e-9), "pulse_voltage"),
        ((1.0, 2.1e-9, 6e-9), "pulse_width"),
        ((1.0, 2e-9, 3.9e-9), "duty"),
    ],
)
def test_the_bench_refuses(bench_file: Path, wire, pulse: tuple[float, float, float], key: str):
    with Bench.from_toml(bench_file) as bench:
        before = wire.ask("PULS:VOLT?;WIDT?;PER?")
        with pytest.raises(BenchError, match=rf"limits\.{key} = .* in .*bench\.toml"):
            bench.board.set_write_pulse(*pulse)
        assert wire.ask("PULS:VOLT?;WIDT?;PER?") == before
        for act, key in (
            (lambda: bench.board.set_read(0.21, 1e-6), "read_voltage"),
            (lambda: bench.board.set_reset_pulse(1.9, 0.6e-9), "pulse_voltage"),
            (lambda: bench.board.set_trims([[0.5] * 40] * 32, 1.34), "pulse_voltage"),
        ):
            with pytest.raises(BenchError, match=rf"limits\.{key}"):
                act()


def test_the_driver_refuses_on_its_own(bench_file: Path, wire):
    with Bench.from_toml(bench_file) as bench:
        board = bench.board.board
        before = wire.ask("PULS:VOLT?;WIDT?;:RES:VOLT?;WIDT?;:SENS:VOLT?")
        for name, value in (
            ("voltage", 1.81), ("voltage", -1.81), ("width", 2.1e-9), ("reset_voltage", 1.81), ("reset_width", 3e-9),
            ("read_voltage", 0.21),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="is not within"):
                setattr(board, name, value)
        assert wire.ask("PULS:VOLT?;WIDT?;:RES:VOLT?;WIDT?;:SENS:VOLT?") == before


def test_the_board_refuses_on_its_own(bench_file: Path, wire):
    with Bench.from_toml(bench_file) as bench:
        board = bench.board.board
        for line, number in (
            ("PULS:VOLT 1.81", -222), ("PULS:WIDT 2.1e-9", -222), ("RES:VOLT -1.81", -222), ("SENS:VOLT 0.21", -222),
            ("LIM:VOLT 2", -203),
        ):  # fmt: skip
            board.write(line)
            with pytest.raises(BoardError) as caught:
                board.check_errors()
            assert caught.value.number == number


def test_snapshot_can_be_kept_as_json(bench_file: Path, resource: str):
    with Bench.from_toml(bench_file) as bench:
        snapshot = json.loads(json.dumps(bench.snapshot(), allow_nan=False))
    assert snapshot["instruments"]["board"]["resource"] == resource
    assert "ARRAY-BOARD" in snapshot["instruments"]["board"]["identity"]
    assert snapshot["roles"]["board"]["origin"] == "simulation"
    assert snapshot["limits"]["pulse_voltage"] == 1.8
    assert snapshot["software"]["pymeasure"]


def test_check_changes_nothing(bench_file: Path, wire):
    before = wire.ask("LIM:VOLT?;:PULS:VOLT?;:OUTP?")
    findings = Bench.from_toml(bench_file).check()
    assert all(finding.ok for finding in findings)
    subjects = [finding.subject for finding in findings]
    assert subjects == [
        "reachable", "identity", "protocol", "array", "voltage limit", "width limit", "read_voltage limit",
        "interlock", "temperature", "output", "origin", "error queue",
    ]  # fmt: skip
    assert wire.ask("LIM:VOLT?;:PULS:VOLT?;:OUTP?") == before


def test_another_size_is_found(resource: str, write_bench):
    path = write_bench(resource, rows=31)
    assert list(wrong(path)) == ["array"]
    is_refused(path, r"32 × 40 cells and .* says 31 × 40: correct \[array\]")


def identity(answer: bytes) -> contextlib.AbstractContextManager[str]:
    """A box that answers everything with one line; gives its resource."""
    return canned_board(lambda line: answer + b"\n", marked=False)


def test_the_wrong_instrument(write_bench):
    with identity(b"KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,C30") as resource:
        path = write_bench(resource)
        assert list(wrong(path)) == ["identity"]
        is_refused(path, r"is no box for the driver ArrayBoard: it says .*MODEL 2400")


def test_another_version_of_the_protocol(bench_file: Path, monkeypatch):
    monkeypatch.setattr("mock_hw.boxes.array_board._commands.PROTOCOL", "2.0")
    is_refused(bench_file, r"follows version 2\.0 .* this program version 1")
    assert list(wrong(bench_file)) == ["protocol"]


def test_a_box_that_answers_rubbish(write_bench):
    with identity(b"M,ARRAY-BOARD,2,0") as resource:
        path = write_bench(resource, timeout=0.2)
        is_refused(path, r"'SYST:PROT\?' in time; what comes, .*ARRAY-BOARD.*no board")
        found = {each.subject: each for each in Bench.from_toml(path).off()}
    assert not found["protocol"].ok
    assert "'ABOR;:OUTP OFF' was sent, and whether the output is off is not known: " in found["output"].detail


def test_nothing_listens(write_bench):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = write_bench(f"TCPIP::127.0.0.1::{port}::SOCKET")
    assert list(wrong(path)) == ["reachable"]
    is_refused(path, rf"key 'instruments.board.resource': .*127.0.0.1::{port}::SOCKET")
    assert not all(finding.ok for finding in Bench.from_toml(path).off())


@pytest.mark.parametrize("driver", ["os.system", "pymeasure.instruments.keithley.Nothing", "Nobody"])
def test_an_unknown_driver(resource: str, write_bench, driver: str):
    path = write_bench(resource, ('driver = "ArrayBoard"', f'driver = "{driver}"'))
    is_refused(path, r"key 'instruments.board.driver': ")


def test_a_board_in_use_is_refused_and_left_alone(bench_file: Path, resource: str, wire):
    owner = ArrayBoard(resource)
    owner.output_enabled = True
    is_refused(bench_file, r"is on, so another program uses it.*'memtj bench off'")
    assert wire.output_is_on()
    findings = Bench.from_toml(bench_file).off()
    assert findings[-1].ok
    assert not wire.output_is_on()
    owner.close()


def switch_on(bench: Bench) -> None:
    bench.board.set_write_pulse(1.0, 0.3e-9, 6e-9)
    bench.board.set_read(0.1, 1e-6)
    board = bench.board.board
    board.output_enabled = True
    board.pulses_per_block = 100
    board.start()


@pytest.mark.parametrize("error", [None, RuntimeError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_leaving_switches_off(bench_file: Path, wire, error: BaseException | None):
    if error is None:
        with Bench.from_toml(bench_file) as bench:
            switch_on(bench)
            assert wire.output_is_on()
    else:
        with pytest.raises(type(error)), Bench.from_toml(bench_file) as bench:  # noqa: PT012
            switch_on(bench)
            raise error
    assert not wire.output_is_on()
    assert wire.ask("ACQ:STAT?") == "IDLE"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_unwinds_and_the_handler_goes(bench_file: Path, wire):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), Bench.from_toml(bench_file) as bench:  # noqa: PT012
        switch_on(bench)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
    assert not wire.output_is_on()
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_in_the_queue_does_not_keep_the_output_on(bench_file: Path, wire):
    with Bench.from_toml(bench_file) as bench:
        switch_on(bench)
        for _ in range(40):
            bench.board.board.write("NONSENSE")
    assert not wire.output_is_on()


def test_a_lost_connection_is_made_once_more(bench_file: Path, wire, caplog):
    with Bench.from_toml(bench_file) as bench:
        switch_on(bench)
        bench.board.board.close()
    assert not wire.output_is_on()
    assert "confirmed over a new connection" in caplog.text


def test_a_board_that_is_gone_is_said_to_be(bench_file: Path, lab: Lab, caplog):
    with Bench.from_toml(bench_file) as bench:
        switch_on(bench)
        lab.__exit__(None, None, None)
    assert [record.levelno for record in caplog.records][-1] == logging.CRITICAL
    assert "its watchdog switches it off" in caplog.text


def test_outside_of_the_main_thread(bench_file: Path, wire):
    def use() -> bool:
        with Bench.from_toml(bench_file) as bench:
            switch_on(bench)
            return wire.output_is_on()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(use).result()
    assert not wire.output_is_on()


def test_a_closed_bench_says_so(bench_file: Path):
    with pytest.raises(BenchError, match="not open"):
        _ = Bench.from_toml(bench_file).board


class Recorded:
    """A role of a later bench, which writes down when it is made safe, and then fails where it is to."""

    prepared = True

    def __init__(self, step: SafeStep, order: list[SafeStep], fails: bool) -> None:
        self.safe_step, self.instrument, self._order, self._fails = step, step.name, order, fails

    def safe_state(self) -> bool:
        self._order.append(self.safe_step)
        if self._fails:
            raise RuntimeError(f"{self.instrument} does not answer")
        return True


@pytest.mark.parametrize("failing", [None, *SafeStep])
def test_roles_are_made_safe_in_their_order_whatever_fails(bench_file: Path, wire, caplog, failing):
    order: list[SafeStep] = []
    with Bench.from_toml(bench_file) as bench:
        switch_on(bench)
        roles = {step.name: Recorded(step, order, step == failing) for step in reversed(SafeStep)}
        bench.roles = {**roles, **bench.roles}
    step = SafeStep
    assert order == [step.PULSES, step.READ_VOLTAGE, step.SELECTOR, step.FIELD, step.OUTPUTS]
    assert not wire.output_is_on()
    assert [f"the {step.name!r} cannot be reached" in caplog.text for step in SafeStep] == [
        step == failing for step in SafeStep
    ]
