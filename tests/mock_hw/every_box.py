"""Every box of the simulated lab on any wire, and what of each the classes that drive it set and read back."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import pyvisa
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400, Keithley2450
from pymeasure.instruments.kepco import KepcoBOP3612
from pymeasure.instruments.keysight import Keysight81160A
from pymeasure.instruments.lakeshore import LakeShore425

from drivers import ArrayBoard
from mock_hw import Lab, LabSettings

COIL = {"field_per_ampere": 0.02, "resistance": 3.2, "inductance": 0.016}
BOXES: dict[str, dict[str, object]] = {
    "board": {"kind": "array-board", "rows": 12, "columns": 10},
    "generator": {"kind": "agilent-33500", "junction": "mtj"},
    "fast_generator": {"kind": "keysight-81160a", "junction": "fast"},
    "meter": {"kind": "keithley-2400", "junction": "mtj"},
    "new_meter": {"kind": "keithley-2450", "junction": "fast"},
    "supply": {"kind": "kepco-bop", "magnet": "coil"},
    "gaussmeter": {"kind": "lakeshore-425", "magnet": "coil"},
}
DRIVERS: dict[str, Any] = {
    "board": ArrayBoard,
    "generator": Agilent33500,
    "fast_generator": Keysight81160A,
    "meter": Keithley2400,
    "new_meter": Keithley2450,
    "supply": KepcoBOP3612,
    "gaussmeter": LakeShore425,
}
SETTINGS: dict[str, dict[str, object]] = {
    "board": {"voltage": 1.3, "width": 0.34e-9, "read_voltage": 0.1, "pulses_per_block": 50},
    "generator": {"shape": "PULS", "pulse_width": 4e-7, "voltage_high": 0.4},
    "fast_generator": {"shape": "PULS", "pulse_width": 5e-9, "output": True},
    "meter": {"source_mode": "voltage", "source_voltage": 0.05, "compliance_current": 1e-4},
    "new_meter": {"source_mode": "voltage", "source_voltage": 0.05, "compliance_current": 1e-4},
    "supply": {"operating_mode": "CURR", "voltage_setpoint": 35.5, "current_setpoint": 0.125},
    "gaussmeter": {"unit": "T", "range": 350},
}
WIRES = ("tcp", "hislip", "vxi11", "prologix")
CASES = [
    *((box, wire) for box in BOXES for wire in WIRES),
    *([("board", "serial")] if sys.platform != "win32" else []),
]


def lab_of(wire: str, *boxes: str, **more: object) -> Lab:
    """A lab of these boxes (left out: all) on such a wire."""
    chosen = {name: BOXES[name] for name in boxes or BOXES}
    content = {
        "junctions": {"mtj": {"device": "B", "magnet": "coil"}, "fast": {"device": "B"}},
        "magnets": {"coil": COIL},
        "boxes": {
            name: {**box, "wire": wire, **({"address": at} if wire == "prologix" else {}), **more}
            for at, (name, box) in enumerate(chosen.items(), 5)
        },
    }
    return Lab(LabSettings.model_validate(content), seed=5)


@contextlib.contextmanager
def on_its_bus(lab: Lab) -> Iterator[None]:
    """Have the adapter of the lab's GPIB open, where it has one: pyvisa-py asks for it before boxes are opened."""
    with contextlib.ExitStack() as stack:
        if "prologix" in lab.resources:
            adapter: Any = pyvisa.ResourceManager("@py").open_resource(lab.resources["prologix"])
            stack.callback(adapter.close)
            adapter.write("++read_tmo_ms 3000")  # pyvisa-py's 50 ms are little on a busy machine
        yield


@contextlib.contextmanager
def opened(lab: Lab, name: str, seconds: float = 10) -> Iterator[Any]:
    """A box by pyvisa-py."""
    with on_its_bus(lab):
        box: Any = pyvisa.ResourceManager("@py").open_resource(
            lab.resources[name], read_termination="\n", write_termination="\n", timeout=1000 * seconds
        )
        try:
            yield box
        finally:
            box.close()


@contextlib.contextmanager
def driven(lab: Lab, name: str, seconds: float = 10) -> Iterator[Any]:
    """A box by the class that drives it."""
    own = name in ("board", "supply")  # they set their terminations themselves
    lines: Any = {"visa_library": "@py", "timeout": 1000 * seconds}
    lines |= {} if own else {"read_termination": "\n", "write_termination": "\n"}
    with on_its_bus(lab):
        box = DRIVERS[name](
            lab.resources[name] if "prologix" not in lab.resources else gpib(lab, name, seconds), **lines
        )
        try:
            yield box
        finally:
            box.adapter.close()


def gpib(lab: Lab, name: str, seconds: float) -> VISAAdapter:
    """A box on the GPIB: pyvisa-py 0.8.1 lets nobody set `read_termination` there, as some classes would."""
    return VISAAdapter(
        lab.resources[name], visa_library="@py", write_termination="\n", timeout=1000 * seconds
    )
