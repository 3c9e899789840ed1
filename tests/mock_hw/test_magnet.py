"""A simulated magnet and its supply: the current follows with L/R, junctions are in its field, and what wires say."""

import logging
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments.kepco import KepcoBOP3612

from mock_hw import Lab, LabError, LabSettings
from mock_hw._clock import Clock
from mock_hw.boxes._magnet import OFF, Magnet, Source
from mock_hw.physics import load_device
from mock_hw.physics._retention import escape_rate
from mock_hw.testing import BoardClient

OHMS, HENRIES, TESLA_PER_AMPERE = 3.2, 0.016, 0.02
TAU = HENRIES / OHMS
COIL = {"field_per_ampere": TESLA_PER_AMPERE, "resistance": OHMS, "inductance": HENRIES}
SETTINGS = {
    "junctions": {"mtj": {"device": "B", "magnet": "coil"}},
    "magnets": {"coil": COIL, "strong": {**COIL, "resistance": 1.0}},
    "boxes": {
        "supply": {"kind": "kepco-bop", "magnet": "coil", "serial_number": "E42"},
        "other": {"kind": "kepco-bop", "magnet": "strong"},
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj"},
    },
}
PULSER = (
    "OUTP:LOAD INF;:FUNC PULS;:FUNC:PULS:WIDT 500E-9;:FUNC:PULS:TRAN 8.4E-9;:VOLT:LOW 0;HIGH 0.28"
    ";:BURS:STAT 1;:TRIG:SOUR BUS;:OUTP 1"
)


class HandClock(Clock):
    """A clock that goes on when it is told to."""

    def now(self) -> float:
        return self._time


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def supply(lab: Lab) -> Iterator[Any]:
    lab.power_cycle("supply")
    box: Any = KepcoBOP3612(lab.resources["supply"], visa_library="@py", timeout=10_000)
    yield box
    box.output_enabled = False
    box.adapter.close()
    with BoardClient(lab.resources["supply"]) as client:
        assert client.error() == 0


@pytest.fixture
def magnet() -> Magnet:
    return Magnet(**COIL, clock=HandClock)


def settle(lab: Lab) -> None:
    """Wait until the current is where it goes, and so are the last readings of it."""
    time.sleep(0.32 + 20 * TAU)


# The magnet


def test_the_current_follows_a_voltage_as_the_coil_lets_it(magnet: Magnet) -> None:
    magnet.drive(Source((), (16.0,)))
    for elapsed in (0.0, 0.5 * TAU, TAU, 3 * TAU):
        assert magnet.amperes(elapsed) == pytest.approx(5 * (1 - math.exp(-elapsed / TAU)))
        assert magnet.volts(elapsed) == pytest.approx(16)
    magnet.clock.advance(TAU)
    before = magnet.amperes()
    magnet.drive(OFF)
    assert magnet.amperes() == pytest.approx(before)
    assert magnet.field(2 * TAU) == pytest.approx(before * TESLA_PER_AMPERE / math.e)


def test_a_held_current_is_reached_by_the_limit_of_the_voltage(magnet: Magnet) -> None:
    magnet.drive(Source((5.0,), (32.0, -32.0)))
    reached = TAU * math.log(10 / (10 - 5))
    assert magnet.amperes(reached * 0.999) < 5
    assert magnet.volts(reached * 0.999) == pytest.approx(32)
    assert magnet.amperes(reached) == magnet.amperes(100.0) == pytest.approx(5)
    assert magnet.volts(reached) == pytest.approx(5 * OHMS)
    magnet.clock.advance(1)
    magnet.drive(Source((-5.0,), (32.0, -32.0)))  # through zero, the other end of the output
    turned = TAU * math.log(15 / 5)
    assert magnet.amperes(1 + turned) == pytest.approx(-5)
    magnet.clock.advance(1)
    magnet.drive(Source((-5.0,), (8.0, -8.0)))  # too few volts for so many amperes
    assert magnet.amperes(2 + TAU) == pytest.approx(-2.5 - 2.5 / math.e)


@pytest.mark.parametrize(
    ("volts", "limit", "amperes"), [(32.0, 4.0, 4.0), (-32.0, 4.0, -4.0), (9.6, 4.0, 3.0), (9.6, 0.0, 0.0)]
)
def test_a_voltage_meets_the_limit_of_the_current(
    magnet: Magnet, volts: float, limit: float, amperes: float
) -> None:
    for start in (0.0, 9.0, -9.0):
        magnet.drive(Source((start,), (36.0, -36.0)))
        magnet.clock.advance(1)
        assert magnet.amperes() == pytest.approx(start)
        magnet.drive(Source((-limit, limit), (36.0, volts, -36.0)))
        currents = [magnet.amperes(magnet.clock.now() + elapsed) for elapsed in np.linspace(0, 20 * TAU, 500)]
        steps = np.diff(currents)
        assert (steps >= -1e-9).all() or (steps <= 1e-9).all()
        magnet.clock.advance(1)
        assert magnet.amperes() == pytest.approx(amperes, abs=1e-6)


def test_steps_of_a_changing_field_add_up(magnet: Magnet) -> None:
    magnet.drive(Source((5.0,), (32.0, -32.0)))
    steps = magnet.fields(0.0, 3.0)
    assert sum(seconds for seconds, _ in steps) == pytest.approx(3.0)
    seconds, tesla = np.array(steps).T
    grid = np.linspace(0, 3.0, 300_001)
    exact = np.mean([magnet.field(t) for t in grid]) * 3.0
    assert (seconds * tesla).sum() == pytest.approx(exact, rel=1e-3)
    assert magnet.fields(1.0, 1.0)[-1] == (0.0, pytest.approx(0.1))


def test_a_strong_field_leaves_one_state_alone() -> None:
    k, x, z = np.full(4, 0.089), np.full(4, 0.03), np.array([-0.08, 0.08, -0.2, 0.2])
    for in_plane in (x, 0 * x):
        rates = escape_rate(k, in_plane, z, 4.66e-18, 0.03, 300.0)
        assert (rates[[0, 2]] > 1e7).all()
        assert (rates[[1, 3]] < 1e-30).all()


# The supply


def test_pymeasures_supply_sets_and_reads_back(lab: Lab, supply: Any) -> None:
    for name, values in {
        "operating_mode": ("VOLT", "CURR"),
        "voltage_setpoint": (-36, 35.5, 0.125, 36),
        "current_setpoint": (-12, 0.03125, 12, 2.5),
        "output_enabled": (True, False, True),
    }.items():
        for value in values:
            setattr(supply, name, value)
            back = getattr(supply, name)
            assert back == (pytest.approx(value, rel=1e-5) if isinstance(value, float | int) else value), name
    settle(lab)
    assert supply.current == pytest.approx(2.5)
    assert supply.voltage == pytest.approx(2.5 * OHMS)
    supply.voltage_setpoint = 4.0
    settle(lab)
    assert supply.current == pytest.approx(4.0 / OHMS)
    supply.beep()
    supply.wait_to_continue()
    assert supply.confidence_test == 0
    assert supply.id == "KEPCO,BIT 4886 36-12,E42,1.86"


def test_its_self_test_swings_the_field_from_end_to_end(lab: Lab, supply: Any) -> None:
    junction = lab.junctions["mtj"]
    seen: list[float] = []
    rest = junction.array.rest

    def watched(seconds: float, **now: Any) -> None:
        seen.append(now["field"])
        rest(seconds, **now)

    junction.array.rest = watched
    try:
        assert supply.bop_test == 0
    finally:
        junction.array.rest = rest
    assert (min(seen), max(seen)) == (pytest.approx(-0.225, rel=0.01), pytest.approx(0.225, rel=0.01))
    assert supply.output_enabled is False
    settle(lab)
    assert supply.current == pytest.approx(0, abs=1e-6)
    with BoardClient(lab.resources["other"]) as other:  # 1 ohm: 12 A come first
        assert other.ask("DIAG:TST?") == "192"


def test_the_self_test_takes_its_time_at_real_pace() -> None:
    with (
        Lab(LabSettings.model_validate(SETTINGS), seed=7, pace="real") as lab,
        BoardClient(lab.resources["other"]) as box,
    ):
        began = time.monotonic()
        assert box.ask("DIAG:TST?") == "192"
        assert time.monotonic() - began >= 1.0


def test_the_supply_says_what_it_does_not_take(lab: Lab) -> None:
    lab.power_cycle("supply")
    with BoardClient(lab.resources["supply"]) as box:
        assert box.ask("FUNC:MODE?;:VOLT?;:CURR?;:OUTP?") == "0;0.00000E+00;0.00000E+00;0"
        assert box.errors("VOLT 36.1;:CURR -12.01;:OUTP ON;:FUNC:MODE RES;:VOLT;:CURR 1,2;:LIST:CLE") == [
            -222, -222, -104, -109, -108, -113,
        ]  # fmt: skip
        assert box.ask("VOLT?;:CURR?;:OUTP?") == "0.00000E+00;0.00000E+00;1"
        for hostile in (
            b"VOLT \xff1\n",
            b"CURR nan\n",
            b"CURR 1e400\n",
            b"VOLT #210\n0123456789\n",
            b";;:;\n",
            b"OUTP?1\n",
        ):
            assert box.errors(hostile), hostile
        for _ in range(20):
            box.send("NONSENSE")
        assert [box.error() for _ in range(16)] == [-113] * 14 + [-350, 0]
        assert (
            box.ask("SOUR:CURR:LEV:IMM:AMPL -3;*ESE 60;*SRE 32;*ESE?;*SRE?;*OPC?;:STAT:OPER:COND?")
            == "60;32;1;256"
        )
        box.send("VOLT 30")
        time.sleep(20 * TAU)
        assert box.ask("STAT:OPER:COND?;*RST;:CURR?;:OUTP?") == "1024;0.00000E+00;0"


# Junctions in the field


def test_the_field_sets_a_junction_and_keeps_it(lab: Lab, supply: Any) -> None:
    junction = lab.junctions["mtj"]
    supply.operating_mode, supply.voltage_setpoint, supply.current_setpoint = "CURR", 36, 0
    supply.output_enabled = True
    with BoardClient(lab.resources["meter"]) as meter:
        meter.send(":SOUR:VOLT:RANG 0.21;:SOUR:VOLT 0.05;:SENS:CURR:PROT 1E-4;:SENS:CURR:NPLC 0.1;:OUTP 1")
        for amperes, antiparallel in (
            (11.0, False),
            (-11.0, True),
            (-1.0, True),
            (11.0, False),
            (0.0, False),
        ):
            supply.current_setpoint = amperes
            assert supply.ask("*OPC?").strip() == "1"  # it has taken that in, however busy this computer is
            time.sleep(20 * TAU)
            ohms = 0.05 / float(meter.ask(":READ?").split(",")[1])
            assert junction.antiparallel is antiparallel
            assert ohms == pytest.approx(junction.resistance(0.05, antiparallel), rel=0.02)
        meter.send(":OUTP 0")


def test_pulses_are_in_the_field_and_beyond_the_table_refused(
    lab: Lab, supply: Any, caplog: pytest.LogCaptureFixture
) -> None:
    junction = lab.junctions["mtj"]
    device = junction.array.device
    probability = device.switching_probability
    fields: list[float] = []

    def watched(voltage: Any, width: Any, temperature: float, field: float, antiparallel: bool) -> Any:
        fields.append(field)
        return probability(voltage, width, temperature, field, antiparallel)

    lab.power_cycle("generator")
    supply.operating_mode, supply.voltage_setpoint, supply.current_setpoint = "CURR", 36, 0.02
    supply.output_enabled = True
    assert supply.ask("*OPC?").strip() == "1"
    with BoardClient(lab.resources["generator"]) as box:
        time.sleep(20 * TAU)
        device.switching_probability = watched
        try:
            assert box.errors(PULSER) == []
            assert box.errors("*TRG") == []
            assert fields == [pytest.approx(0.02 * TESLA_PER_AMPERE)] * 2
            supply.current_setpoint = 0.25
            time.sleep(20 * TAU)
            pulses = junction.pulses
            with caplog.at_level(logging.WARNING, logger="mock_hw"):
                box.send("*TRG")
                answer = box.ask("SYST:ERR?")
        finally:
            device.switching_probability = probability
        assert answer.startswith('-300,"Device-specific error; a out-of-plane field of')
        assert "outside the switching table" in caplog.text
        assert junction.pulses == pulses + 1  # it has had the voltage
        assert load_device("B").table.field < 0.25 * TESLA_PER_AMPERE


def test_many_boxes_act_on_one_magnet_at_once(lab: Lab, supply: Any) -> None:
    supply.operating_mode, supply.voltage_setpoint = "CURR", 36
    failed: list[str] = []

    def hammer(name: str, *lines: str) -> None:
        with BoardClient(lab.resources[name]) as box:
            for _ in range(40):
                for line in lines:
                    if line.endswith("?"):
                        box.ask(line)
                    else:
                        box.send(line)
            failed.extend(f"{name}: {number}" for number in iter(box.error, 0))

    jobs = [
        ("supply", "CURR 0.01;:OUTP 1", "MEAS:CURR?", "CURR -0.01;:OUTP 0"),
        ("supply", "OUTP?", "VOLT 5"),
        ("meter", ":SENS:CURR:NPLC 0.01;:OUTP 1", ":READ?"),
        ("generator", PULSER, "*TRG", "*OPC?"),
    ]
    threads = [threading.Thread(target=hammer, args=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failed == []
    with BoardClient(lab.resources["meter"]) as meter:
        meter.send(":OUTP 0")


def test_what_a_field_has_set_outlives_the_lab(tmp_path: Path) -> None:
    path, states = tmp_path / "state.npz", []
    for amperes in ("11", "-11"):
        with Lab(LabSettings.model_validate(SETTINGS), seed=5, state=path) as lab:
            states.append(lab.junctions["mtj"].antiparallel)
            with BoardClient(lab.resources["supply"]) as box:
                box.ask(f"FUNC:MODE CURR;:VOLT 36;:CURR {amperes};:OUTP 1;*OPC?")
                time.sleep(20 * TAU)
        assert lab.magnets == {}
    with Lab(LabSettings.model_validate(SETTINGS), seed=5, state=path) as lab:
        states.append(lab.junctions["mtj"].antiparallel)
    assert states[1:] == [False, True]


COIL_FILE = "[magnets.m]\nfield_per_ampere = 0.02\nresistance = 3.2\ninductance = 0.1\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[boxes.a]\nkind = 'kepco-bop'\nmagnet = 'm'", r"give \[magnets\.m\]"),
        ("[boxes.a]\nkind = 'kepco-bop'", r"boxes\.a\.magnet: Field required"),
        (
            COIL_FILE + "[boxes.a]\nkind = 'kepco-bop'\nmagnet = 'm'\njunction = 'x'",
            r"boxes\.a\.junction: Extra inputs",
        ),
        (
            COIL_FILE + "".join(f"[boxes.{n}]\nkind = 'kepco-bop'\nmagnet = 'm'\n" for n in "ab"),
            "two supplies",
        ),
        (
            "[junctions.x]\nmagnet = 'm'\n[boxes.a]\nkind = 'keithley-2400'\njunction = 'x'",
            r"junction 'x' has a magnet 'm'",
        ),
        (COIL_FILE + "axis = 'x'\n[boxes.a]\nkind = 'kepco-bop'\nmagnet = 'm'", r"magnets\.m\.axis"),
        (
            COIL_FILE.replace("3.2", "0.0") + "[boxes.a]\nkind = 'kepco-bop'\nmagnet = 'm'",
            r"magnets\.m\.resistance",
        ),
    ],
)
def test_wrong_lab_files_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(content)
    with pytest.raises(LabError, match=said):
        Lab.from_toml(path)
