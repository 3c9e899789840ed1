"""Broken cells over a device whose every answer is known: the faults change what they say, and nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mock_hw.faults._cells import OPEN, SHORTED, FaultyDevice

ANSWERS: dict[str, Callable[..., Any]] = {
    "switching_probability": lambda voltage, *_: np.clip(voltage / 2, 0, 1),
    "retention_rate": lambda *_, **how: np.full(4, 7.0),
    "resistances": lambda *_: (np.array([70e3, 71e3, 72e3, 73e3]), np.array([170e3, 171e3, 172e3, 173e3])),
    "read_noise": lambda resistance, *_: resistance * 10,
    "compared": lambda thresholds: thresholds + 1,
    "converted": lambda readings: readings + 2,
    "save": lambda: {"age": np.arange(4)},
}


class PlainDevice:
    """Four cells; notes what it is asked, arrays as tuples."""

    cells = 4
    temperature_offset = 0.25

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def answer(*values: Any, **named: Any) -> Any:
            given = (
                value["age"] if isinstance(value, dict) else value for value in (*values, *named.values())
            )
            self.asked.append((name, *(tuple(v.tolist()) if isinstance(v, np.ndarray) else v for v in given)))
            return ANSWERS.get(name, lambda *_: None)(*values, **named)

        return answer


@pytest.fixture
def device() -> FaultyDevice:
    return FaultyDevice(PlainDevice())


def test_a_sound_device_is_passed_through(device):
    volts = np.array([0.2, 0.4, 0.6, 0.8])
    np.testing.assert_array_equal(device.switching_probability(volts, 1e-9, 300.0, 1e-3, True), volts / 2)
    np.testing.assert_array_equal(device.retention_rate(300.0, 0.0, False, powered=False), np.full(4, 7.0))
    low, high = device.resistances(0.1, 310.0, 1e-6, 2e-6)
    np.testing.assert_array_equal(high - low, np.full(4, 100e3))
    np.testing.assert_array_equal(device.read_noise(low, 0.1, 1e-6, 300.0), low * 10)
    np.testing.assert_array_equal(device.compared(low), low + 1)
    np.testing.assert_array_equal(device.converted(low), low + 2)
    device.advance(2.5)
    device.wear(3, volts)
    device.load(device.save())
    r_p = (70e3, 71e3, 72e3, 73e3)
    assert device.device.asked == [
        ("switching_probability", tuple(volts), 1e-9, 300.0, 1e-3, True),
        ("retention_rate", 300.0, 0.0, False, False),
        ("resistances", 0.1, 310.0, 1e-6, 2e-6),
        ("read_noise", r_p, 0.1, 1e-6, 300.0),
        ("compared", r_p),
        ("converted", r_p),
        ("advance", 2.5),
        ("wear", 3, (0.2, 0.4, 0.6, 0.8)),
        ("save",),
        ("load", (0, 1, 2, 3)),
    ]
    assert (device.cells, device.temperature_offset, device.broken) == (4, 0.25, {})


def test_broken_cells(device):
    device.damage(0, "short")
    device.damage(1, "open")
    device.damage(2, "P")
    device.damage(3, "AP")
    low, high = device.resistances(0.1, 300.0, 1e-6, 1e-6)
    np.testing.assert_array_equal(low, [SHORTED, OPEN, 72e3, 173e3])
    np.testing.assert_array_equal(high, low)
    # The device's own arrays are not written to: they may be cached there.
    np.testing.assert_array_equal(device.device.resistances(0.1, 300.0, 0, 0)[0], [70e3, 71e3, 72e3, 73e3])
    noise = device.read_noise(low, 0.1, 1e-6, 300.0)
    np.testing.assert_array_equal(noise[[0, 2, 3]], 10 * low[[0, 2, 3]])
    assert noise[1] == 0.05 * OPEN
    assert device.broken == {0: "short", 1: "open", 2: "P", 3: "AP"}


def test_the_last_fault_of_a_cell_is_the_one_it_has(device):
    device.damage(1, "short")
    device.damage(1, "AP")
    device.damage(1, "P")
    assert device.broken == {1: "P"}
    device.damage(1, "open")
    assert device.broken == {1: "open"}
    device.damage(1, "short")
    assert device.broken == {1: "short"}
    device.repair()
    assert device.broken == {}
    np.testing.assert_array_equal(device.resistances(0.1, 300.0, 0.0, 0.0)[0], [70e3, 71e3, 72e3, 73e3])


def probability(device: FaultyDevice, volts: float) -> float:
    values = device.switching_probability(np.full(4, volts), 1e-9, 300.0, 0.0, False)
    assert (values == values[0]).all()
    return float(values[0])


def test_drift_grows_with_simulated_time_and_stays_where_it_is_stopped(device):
    device.advance(3600)
    assert probability(device, 1.0) == 0.5
    device.drift(0.2)
    assert device.volts_per_hour == pytest.approx(0.2)
    assert probability(device, 1.0) == 0.5
    device.advance(1800)
    assert probability(device, 1.0) == pytest.approx(0.55)
    device.drift(-0.4)
    device.advance(3600)
    assert probability(device, 1.0) == pytest.approx(0.35)
    device.drift(0.0)
    device.advance(36000)
    assert probability(device, 1.0) == pytest.approx(0.35)
    # It goes no further than a pulse can, and where no pulse is, none appears.
    limited = FaultyDevice(PlainDevice(), largest_pulse=1.2)
    limited.drift(1.0)
    limited.advance(3600)
    assert probability(limited, 1.0) == pytest.approx(0.6)
    assert probability(device, 0.0) == 0.0
    device.repair()
    assert probability(device, 1.0) == 0.5
