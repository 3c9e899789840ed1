"""The simulated laboratory: device, array, boxes that answer SCPI, wires."""

from mock_hw._array import Selection, Sequence, SimulatedArray
from mock_hw._device import Device, StandInDevice, StandInParameters
from mock_hw._lab import Lab, LabError, LabSettings, serve

__all__ = [
    "Device",
    "Lab",
    "LabError",
    "LabSettings",
    "Selection",
    "Sequence",
    "SimulatedArray",
    "StandInDevice",
    "StandInParameters",
    "serve",
]
