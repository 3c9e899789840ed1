"""The simulated Keysight 81160A: pymeasure's own class drives it, fast pulses switch, it refuses and never clips."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments.keysight import Keysight81160A

from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient

SETTINGS = {
    "junctions": {"mtj": {"device": "B"}, "other": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "keysight-81160a", "junction": "mtj", "junction_2": "other"},
    },
}
PULSES = "OUTP{n}:LOAD 1E6;:FUNC{n} PULS;:PULS:WIDT{n} {width};:VOLT{n}:LOW 0;HIGH {volts};:ARM:SOUR{n} MAN;:OUTP{n} 1"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def client(lab: Lab) -> Iterator[BoardClient]:
    lab.power_cycle("generator")
    with BoardClient(lab.resources["generator"]) as client:
        yield client


@pytest.fixture
def generator(lab: Lab) -> Iterator[Any]:
    lab.power_cycle("generator")
    box = Keysight81160A(
        lab.resources["generator"],
        visa_library="@py",
        read_termination="\n",
        write_termination="\n",
        timeout=10_000,
    )
    yield box
    box.adapter.close()
    with BoardClient(lab.resources["generator"]) as client:
        assert client.error() == 0


CHANNEL = [
    ("shape", "PULS"), ("output_load", 75.0), ("pulse_transition", 1e-9), ("pulse_width", 1.5e-9),
    ("pulse_period", 3.5e-9), ("pulse_period", 2e-6), ("pulse_width", 4e-7), ("pulse_transition", 2e-8),
    ("voltage_high", 0.4), ("voltage_low", -0.1), ("amplitude", 0.3), ("offset", 0.05), ("amplitude_unit", "VPP"),
    ("frequency", 1e6), ("burst_ncycles", 12), ("burst_mode", "TRIG"), ("burst_period", 1e-3),
    ("burst_state", True), ("burst_state", False), ("trigger_count", 7), ("trigger_count", 1),
    ("limit_high", 1.0), ("limit_low", -0.5), ("limit_state_enabled", True), ("limit_state_enabled", False),
    ("trigger_mode", "INT2"), ("trigger_mode", "EXT"), ("trigger_mode", "MAN"), ("trigger_mode", "IMM"),
    ("output", True), ("output", False),
]  # fmt: skip


@pytest.mark.parametrize("number", [1, 2])
def test_pymeasures_class_sets_and_reads_back(generator: Any, number: int) -> None:
    channel = generator.channels[number]
    for name, value in CHANNEL:
        setattr(channel, name, value)
        assert getattr(channel, name) == pytest.approx(value), name
    assert "81160A" in generator.id


def test_pymeasures_class_sets_the_first_channel_without_a_number(generator: Any) -> None:
    generator.shape, generator.pulse_width, generator.output = "PULS", 5e-9, True
    assert (generator.shape, generator.pulse_width, generator.output) == ("PULS", 5e-9, True)
    assert (generator.ch_1.pulse_width, generator.ch_1.output) == (5e-9, True)
    assert (generator.ch_2.pulse_width, generator.ch_2.output) == (100e-9, False)


def test_pymeasure_still_has_the_burst_of_a_channel_upside_down(generator: Any) -> None:
    generator.ch_1.burst_state = True
    assert generator.ask("BURS1:STAT?").strip() == "0"


@pytest.mark.parametrize("device", ["B", "D"])
def test_a_pulse_switches_as_the_device_says(device: str) -> None:
    """Set D is the precessional one for such boxes; its edges are those of the box."""
    one = {
        "junctions": {"x": {"device": device}},
        "boxes": {"g": {"kind": "keysight-81160a", "junction": "x"}},
    }
    width, volts = {"B": (200e-9, 0.31), "D": (4e-9, 1.23)}[device]
    with Lab(LabSettings.model_validate(one), seed=7) as lab, BoardClient(lab.resources["g"]) as client:
        junction = lab.junctions["x"]
        client.send(PULSES.format(n=1, width=width, volts=volts))
        across = np.array([junction.share(volts * (1 + 50 / 1e6), 50.0, False)])
        p = float(junction.array.device.switching_probability(across, width, 300.0, 0.0, False)[0])
        assert 0.1 < p < 0.9
        tries, ones = 600, 0
        for _ in range(tries):
            with junction.lock:
                if junction.antiparallel:
                    junction.array.flip()
            assert client.ask("*TRG;*OPC?") == "1"
            ones += junction.antiparallel
        assert abs(ones - tries * p) < 5 * math.sqrt(tries * p * (1 - p))  # false alarm 6e-7
        assert client.error() == 0


def test_a_trigger_gives_one_pulse_or_the_count_to_every_channel_that_waits(
    lab: Lab, client: BoardClient
) -> None:
    first, second = (lab.junctions[name] for name in ("mtj", "other"))
    client.send(
        f"{PULSES.format(n=1, width=150e-9, volts=0.2)};:{PULSES.format(n=2, width=500e-9, volts=0.2)}"
    )
    for counts in ((1, 1), (5, 1), (1, 3)):
        before = first.pulses, second.pulses
        client.send(f"TRIG1:COUN {counts[0]};:TRIG2:COUN {counts[1]};*TRG")
        assert client.ask("BURS1:STAT?;:BURS2:STAT?") == ";".join(str(int(each > 1)) for each in counts)
        assert (first.pulses - before[0], second.pulses - before[1]) == counts
    assert client.errors("OUTP2 0;*TRG") == []
    assert second.pulses - before[1] == 3
    client.send("ARM:SOUR1 EXT;:ARM:SOUR2 IMM")
    assert client.errors("*TRG") == [-211]


def test_a_channel_whose_pulse_is_not_simulated_keeps_no_other_from_giving_its(
    lab: Lab, client: BoardClient
) -> None:
    second = lab.junctions["other"]
    client.send(
        f"{PULSES.format(n=1, width=20e-9, volts=0.2)};:{PULSES.format(n=2, width=500e-9, volts=0.2)}"
    )
    before = second.pulses
    assert client.errors("*TRG") == [-300]
    assert second.pulses == before + 1
    assert client.errors("PULS:TRAN2 2E-9;:PULS:WIDT1 1.5E-9;*TRG") == [-300]


def test_what_it_cannot_take_it_refuses_and_keeps_the_old_value(client: BoardClient) -> None:
    for line, question, kept, error in (
        ("PULS:WIDT 1e-9", "PULS:WIDT?", 100e-9, -222),
        ("PULS:WIDT 2e-6", "PULS:WIDT?", 100e-9, -221),
        ("PULS:PER 101e-9", "PULS:PER?", 1e-6, -221),
        ("PULS:PER 3e-9", "PULS:PER?", 1e-6, -222),
        ("PULS:TRAN 0.9e-9", "PULS:TRAN?", 1e-9, -222),
        ("PULS:TRAN 70e-9", "PULS:TRAN?", 1e-9, -221),
        ("VOLT:HIGH 5.1", "VOLT:HIGH?", 0.5, -222),
        ("VOLT:LOW 0.46", "VOLT:LOW?", -0.5, -221),
        ("VOLT:HIGH 4.6", "VOLT:HIGH?", 0.5, -221),
        ("BURS:NCYC 1", "BURS:NCYC?", 2, -222),
        ("TRIG:COUN 0", "TRIG:COUN?", 1, -222),
        ("OUTP:LOAD 0.1", "OUTP:LOAD?", 50, -222),
        ("OUTP:IMP 5", "OUTP:IMP?", 50, -222),
        ("VOLT:LIM:HIGH 0.4;STAT 1", "VOLT:LIM:STAT?", 0, -221),
    ):
        assert client.errors(line) == [error], line
        assert float(client.ask(question)) == pytest.approx(kept), line
    client.send("VOLT:LIM:HIGH 0.6;STAT 1")
    assert client.errors("VOLT:HIGH 0.7") == [-222]
    assert client.errors("ARM:SOUR BUS;:SYST:ERR:COUN?;:FUNC3?") == [-104, -113, -113]
    assert client.ask("SYST:ERR?") == '+0,"No error"'


def test_the_trailing_edge_follows_the_leading_one_until_it_is_set(client: BoardClient) -> None:
    edges = "PULS:TRAN1?;:PULS:TRAN1:TRA?;:PULS:TRAN1:TRA:AUTO?"
    for line, leading, trailing, follows in (
        ("PULS:TRAN1 3e-9", 3e-9, 3e-9, 1),
        ("FUNC1:PULS:TRAN:TRA 5e-9", 3e-9, 5e-9, 0),
        ("PULS:TRAN1 2e-9", 2e-9, 5e-9, 0),
        ("PULS:TRAN1:TRA:AUTO 1", 2e-9, 2e-9, 1),
    ):
        client.send(line)
        assert [float(each) for each in client.ask(edges).split(";")] == [leading, trailing, follows]
    assert client.errors("PULS:TRAN1:TRA 3e-9;:FUNC PULS;:ARM:SOUR MAN;:OUTP 1;*TRG") == [-300]


def test_the_load_changes_what_is_shown_and_a_reset_switches_off(lab: Lab, client: BoardClient) -> None:
    junction = lab.junctions["mtj"]
    client.send("VOLT:LOW 0;HIGH 0.4;:OUTP:IMP:EXT 1E6")
    assert float(client.ask("VOLT:HIGH?")) == pytest.approx(0.8, rel=1e-4)
    assert client.errors("ARM:SOUR MAN;:OUTP 1;:OUTP2 1;:OUTP:POL INV") == []
    assert junction._levels["generator"] == pytest.approx(junction.share(0.8, 50.0), rel=1e-3)
    assert client.errors("*RST") == []
    assert junction._levels == lab.junctions["other"]._levels == {}
    assert client.ask("OUTP?;:OUTP2?;:OUTP:POL?;:PULS:PER?;:ARM:SOUR?") == "0;0;NORM;1.000000000E-06;IMM"


def test_a_box_of_one_channel_has_no_second() -> None:
    one = {"junctions": {"x": {"device": "B"}}, "boxes": {"g": {"kind": "keysight-81160a", "junction": "x"}}}
    with Lab(LabSettings.model_validate(one), seed=1) as lab, BoardClient(lab.resources["g"]) as client:
        assert client.errors("OUTP2 1") == [-113]
        assert client.errors("OUTP1 1") == []
