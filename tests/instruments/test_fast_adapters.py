"""Adapters of a Keysight 81160A and a Keithley 2450 over a lab: as those of the slower boxes, and where they differ."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments import Instrument
from pymeasure.instruments.keithley import Keithley2450
from pymeasure.instruments.keysight import Keysight81160A

from instruments import Bench, BenchError
from instruments.array import WorkingPoint, array_of, blocks_of
from instruments.bench import SignalPath
from instruments.bench.adapters import (
    Junction,
    JunctionLimits,
    Keithley2400Readout,
    Keithley2450Readout,
    Keysight81160ASource,
    PulseSettings,
    ReadSettings,
)
from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient

LEADS = 2.0
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "keysight-81160a", "junction": "mtj"},
        "meter": {"kind": "keithley-2450", "junction": "mtj", "leads": LEADS},
    },
}
LIMITS = JunctionLimits(pulse_voltage=1.5, pulse_width=1e-6, read_voltage=0.6, current=1e-3, duty=0.5)
OPEN = SignalPath(source_impedance=50, assumed_load=math.inf, attenuation=0, overshoot=0.1, load=1e4)
MATCHED = SignalPath(source_impedance=50, assumed_load=50, attenuation=0, overshoot=0.1, load=1e4)
WIRES = SignalPath(source_impedance=LEADS, assumed_load=math.inf, attenuation=0, overshoot=0, load=1e4)
READ = ReadSettings(voltage=0.02, compliance=1e-4)


def pulse(voltage: float = 0.3, width: float = 500e-9, period: float = 2e-6, count: int = 2) -> PulseSettings:
    return PulseSettings(voltage, width, 1e-9, period, count)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def generator(lab: Lab) -> Iterator[Any]:
    yield from _opened(lab, "generator", Keysight81160A)


@pytest.fixture
def meter(lab: Lab) -> Iterator[Any]:
    yield from _opened(lab, "meter", Keithley2450)


@pytest.fixture
def junction() -> Junction:
    return Junction(LIMITS)


@pytest.fixture
def source(generator: Any, junction: Junction) -> Keysight81160ASource:
    return Keysight81160ASource(generator, OPEN, junction)


@pytest.fixture
def readout(meter: Any, junction: Junction) -> Keithley2450Readout:
    return Keithley2450Readout(meter, WIRES, junction)


def _opened(lab: Lab, name: str, driver: Any) -> Iterator[Any]:
    lab.power_cycle(name)
    box = driver(
        lab.resources[name],
        name=name,
        visa_library="@py",
        read_termination="\n",
        write_termination="\n",
        timeout=10_000,
    )
    yield box
    box.adapter.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to any box, in its order."""
    lines: list[str] = []
    write = Instrument.write

    def keep(self: Instrument, command: str, **rest: Any) -> None:
        lines.append(command)
        write(self, command, **rest)

    monkeypatch.setattr(Instrument, "write", keep)
    return lines


def tamper(monkeypatch: pytest.MonkeyPatch, box: Any, question: str, answer: str) -> None:
    """Have a box answer a question otherwise."""
    write, read = box.adapter.write, box.adapter.read
    asked = ""

    def keep(command: str, **rest: Any) -> None:
        nonlocal asked
        asked = command
        write(command, **rest)

    def tampered(**rest: Any) -> str:
        if not asked.endswith(question):
            return read(**rest)
        return f"{read(**rest).partition(';')[0]};{answer}"

    monkeypatch.setattr(box.adapter, "write", keep)
    monkeypatch.setattr(box.adapter, "read", tampered)


def test_they_say_what_they_are_set_to(source: Keysight81160ASource, readout: Keithley2450Readout) -> None:
    for adapter in (source, readout):
        adapter.check()
        assert not adapter.output_is_on()
    assert source.look() == (
        "SIN from -0.5 V to 0.5 V as shown for 50 ohms, pulses of 1e-07 s every 1e-06 s, burst off"
    )
    assert readout.look() == "sources 0 V, compliance 0.000105 A"
    assert any("second channel" in each for each in source.unseen)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("voltage", [0.3, -0.3])
@pytest.mark.parametrize("path", [OPEN, MATCHED])
def test_a_burst_is_set_read_back_and_given(
    lab: Lab, generator: Any, junction: Junction, voltage: float, path: SignalPath, count: int
) -> None:
    world, source = lab.junctions["mtj"], Keysight81160ASource(generator, path, junction)
    for width, period in ((500e-9, 2e-6), (100e-9, 300e-9), (100e-9, 3e-3)):
        source.prepare(pulse(voltage, width, period, count))
        peak = float(generator.ask("VOLT:HIGH?" if voltage > 0 else "VOLT:LOW?"))
        assert peak * path.gain == pytest.approx(voltage, rel=2e-4)
        assert float(generator.ask("PULS:WIDT?")) == pytest.approx(width)
        assert float(generator.ask("VOLT:LIM:HIGH?")) * path.peak_gain == pytest.approx(1.5, rel=2e-4)
        world.largest_voltage, pulses = 0.0, world.pulses
        source.pulse()
        assert world.pulses - pulses == count
        assert world.largest_voltage == pytest.approx(
            0.3, rel=0.05
        )  # of P, which is below the load of the path
    source.off()
    assert generator.ask("OUTP?").strip() == "0"


def test_a_pulse_is_changed_and_the_junction_rests_at_0_v(
    lab: Lab, generator: Any, source: Keysight81160ASource
) -> None:
    """Its levels are 0.1 V apart at least, so the output is off while the sign changes."""
    device: Any = lab.instruments["generator"].device
    world = lab.junctions["mtj"]
    volts = (0.3, -0.3, -0.29, 0.31, 0.28, -0.35, 0.33)
    bursts = [replace(pulse(each), largest=1.2, width=5e-7 if each > 0 else 4e-7) for each in volts]
    source.prepare(bursts[0])
    relays = device.channels[0].relays
    for burst in (*bursts[1:], *bursts):
        world.largest_voltage = 0.0
        source.change(burst)
        assert world.largest_voltage == 0.0
        source.pulse()
        assert world.largest_voltage == pytest.approx(abs(burst.voltage), rel=0.05)
        assert float(generator.ask("PULS:WIDT?")) == pytest.approx(burst.width, rel=1e-6)
    source.pulse(then=bursts[0])
    assert float(generator.ask("VOLT:HIGH?")) == pytest.approx(0.3 / OPEN.gain, rel=1e-3)
    assert device.channels[0].relays == relays
    source.off()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (pulse(1.4), r"limits\.pulse_voltage"),
        (pulse(width=1.1e-6, period=1e-5), r"limits\.pulse_width"),
        (pulse(0.05), r"less than the 'generator' gives, 0\.099995 V: take a larger attenuation"),
        (replace(pulse(), largest=11.0), "more than the 'generator' gives"),
        (pulse(count=600_000), "longer than 1 s"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_is_sent(
    source: Keysight81160ASource, sent: list[str], settings: PulseSettings, said: str
) -> None:
    sent.clear()
    with pytest.raises(BenchError, match=said):
        source.prepare(settings)
    assert sent == []


@pytest.mark.parametrize(
    "settings", [pulse(width=1e-9), replace(pulse(), edge=0.9e-9), pulse(width=3e-9, period=3.05e-9)]
)
def test_what_the_box_refuses_ends_with_the_output_off(
    generator: Any, sent: list[str], settings: PulseSettings
) -> None:
    source = Keysight81160ASource(generator, OPEN, Junction(replace(LIMITS, duty=1.0)))
    with pytest.raises(BenchError, match=r"'generator' says .*-22[12]"):
        source.prepare(settings)
    assert "OUTP 1" not in sent
    assert generator.ask("OUTP?").strip() == "0"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("VOLT:HIGH?", "6E-01"), ("VOLT:LOW?", "-1E-01"), ("OUTP:LOAD?", "5E+01"), ("PULS:WIDT?", "1E-06"),
        ("PULS:PER?", "1E-06"), ("PULS:TRAN:TRA?", "1E-06"), ("TRIG:COUN?", "1"), ("FUNC?", "SQU"),
        ("BURS:STAT?", "0"), ("VOLT:RANG:AUTO?", "1"), ("ARM:SOUR?", "IMM"), ("OUTP:POL?", "INV"),
        ("VOLT:LIM:STAT?", "0"),
    ],
)  # fmt: skip
def test_what_the_generator_does_not_confirm_keeps_its_output_off(
    source: Keysight81160ASource,
    generator: Any,
    sent: list[str],
    monkeypatch: Any,
    question: str,
    answer: str,
) -> None:
    tamper(monkeypatch, generator, question, answer)
    with pytest.raises(BenchError, match=r"where .* is expected: look at it"):
        source.prepare(pulse())
    assert "OUTP 1" not in sent


@pytest.mark.parametrize(
    "settings", [READ, replace(READ, current_range=1e-4, delay=1.5e-4, cycles=0.01, autozero=False)]
)
def test_a_resistance_is_read(
    lab: Lab, meter: Any, readout: Keithley2450Readout, settings: ReadSettings
) -> None:
    readout.prepare(settings)
    assert readout.read() == pytest.approx(lab.junctions["mtj"].resistance(0.02), rel=0.02)
    assert readout.read() == pytest.approx(lab.junctions["mtj"].resistance(0.02), rel=0.02)
    readout.off()
    assert meter.ask("OUTP?").strip() == "0"
    with pytest.raises(BenchError, match="prepare first"):
        readout.read()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SOUR:VOLT:ILIM?", "1.0E-03"), ("SOUR:VOLT?", "2.1E-02"), ("SOUR:VOLT:RANG?", "20"), ("SOUR:FUNC?", "CURR"),
        ("SOUR:VOLT:RANG:AUTO?", "1"), ("SENS:CURR:RANG:AUTO?", "0"), ("SENS:FUNC?", '"VOLT:DC"'),
        ("SENS:COUN?", "2"), ("SENS:CURR:AVER?", "1"), ("SOUR:VOLT:READ:BACK?", "0"), ("SENS:CURR:AZER?", "0"),
        ("SENS:CURR:NPLC?", "1.0E-01"), ("SOUR:VOLT:DEL:AUTO?", "0"), ("*LANG?", "SCPI2400"),
    ],
)  # fmt: skip
def test_what_the_meter_does_not_confirm_keeps_its_output_off(
    readout: Keithley2450Readout, meter: Any, sent: list[str], monkeypatch: Any, question: str, answer: str
) -> None:
    tamper(monkeypatch, meter, question, answer)
    with pytest.raises(BenchError, match=r"where .* is expected: look at it|restart it"):
        readout.prepare(READ)
    assert "OUTP 1" not in sent


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("rubbish", "no reading"), ("1,2", "no reading"), ("0.02,2E-6,nan", "no reading"),
        ("0.02,2E-6,1.5", "no reading"),
        ("0.02,9.9E+37,136", "is the device connected"), ("0.02,0,136", "is the device connected"),
        ("0.5,1E-6,136", r"0\.020004 V were set"), ("0.02,1E-6,168", "in compliance"), ("0.02,1E-6,8", "output is off"),
        ("0.02,1E-6,128", "not read back"),
    ],
)  # fmt: skip
def test_a_reading_that_is_none_is_refused_and_the_output_is_off(
    readout: Keithley2450Readout, meter: Any, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    readout.prepare(READ)
    with monkeypatch.context() as tampered:
        tamper(tampered, meter, "SOURSTAT", answer)
        with pytest.raises(BenchError, match=said):
            readout.read()
    assert meter.ask("OUTP?").strip() == "0"


def test_a_reading_in_compliance_and_one_with_the_output_off_are_refused(
    readout: Keithley2450Readout, meter: Any
) -> None:
    readout.prepare(ReadSettings(0.5, 1e-8))
    with pytest.raises(BenchError, match="in compliance"):
        readout.read()
    readout.prepare(READ)
    meter.write("OUTP 0")
    with pytest.raises(BenchError, match="output is off"):
        readout.read()


def test_a_meter_in_the_language_of_a_2400_is_refused(lab: Lab, junction: Junction) -> None:
    with BoardClient(lab.resources["meter"]) as client:
        assert client.errors("*LANG SCPI2400") == []
    try:
        for box in _opened(lab, "meter", Keithley2450):
            with pytest.raises(
                BenchError, match=r"command set SCPI2400: send it '\*LANG SCPI' and restart it"
            ):
                Keithley2450Readout(box, WIRES, junction).prepare(READ)
            with pytest.raises(BenchError, match="put the right box there"):
                Keithley2400Readout(box, WIRES, junction).prepare(READ)
    finally:
        with BoardClient(lab.resources["meter"]) as client:
            assert client.errors("*LANG SCPI") == []
        lab.power_cycle("meter")


@pytest.fixture
def bench_file(lab: Lab, tmp_path: Path) -> Path:
    """The example of two boxes at one junction, with these two."""
    example = (Path(__file__).parents[2] / "instruments" / "example_bench_33500_2400.toml").read_text("utf-8")
    for old, new in (
        ("pymeasure.instruments.agilent.Agilent33500", Keysight81160ASource.driver),
        ("pymeasure.instruments.keithley.Keithley2400", Keithley2450Readout.driver),
        ("TCPIP::127.0.0.1::5025::SOCKET", lab.resources["generator"]),
        ("TCPIP::127.0.0.1::5026::SOCKET", lab.resources["meter"]),
    ):
        assert old in example
        example = example.replace(old, new)
    path = tmp_path / "bench.toml"
    path.write_text(example, "utf-8")
    return path


def test_a_bench_file_names_them_and_both_are_switched_off(lab: Lab, bench_file: Path) -> None:
    for name in ("generator", "meter"):
        with BoardClient(lab.resources[name]) as client:
            assert client.errors("OUTP 1") == []
    assert all(each.ok for each in Bench.from_toml(bench_file).check())
    assert all(each.ok for each in Bench.from_toml(bench_file).off())
    for name in ("generator", "meter"):
        with BoardClient(lab.resources[name]) as client:
            assert client.ask("OUTP?") == "0"


def test_an_array_of_them_gives_bits(lab: Lab, bench_file: Path) -> None:
    for name in ("generator", "meter"):
        lab.power_cycle(name)
    point, world = (
        WorkingPoint("reset", 0.3, 500e-9, 1.2e-6, -0.335, 500e-9, 0.05, 1e-4),
        lab.junctions["mtj"],
    )
    world.largest_voltage = 0.0
    with Bench.from_toml(bench_file) as bench:
        array = array_of(bench, point)
        array.set_working_point(point)
        array.set_thresholds(np.array([1600.0]))
        array.switch_on(5.0)
        assert array.resistances()[0] == pytest.approx(world.resistance(0.05), rel=5e-3)
        blocks = list(blocks_of(array, 60, lambda: False))
    ones = sum(int(np.unpackbits(block.bits, count=block.pulses).sum()) for block in blocks)
    assert 0 < ones < 60
    assert world.largest_voltage <= 0.45
