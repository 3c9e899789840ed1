"""The simulated laboratory: device, array, boxes that answer SCPI, wires."""

from mock_hw._array import Selection, Sequence, SimulatedArray
from mock_hw._device import Device
from mock_hw._lab import Lab, LabError, LabSettings, describe, serve
from mock_hw.physics import MacrospinDevice

__all__ = [
    "Device",
    "Lab",
    "LabError",
    "LabSettings",
    "MacrospinDevice",
    "Selection",
    "Sequence",
    "SimulatedArray",
    "describe",
    "serve",
]
