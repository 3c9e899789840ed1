"""Device physics: macrospin trajectories, the Fokker-Planck equation, switching tables, readout, drift, retention."""

from mock_hw.physics._cells import MacrospinDevice
from mock_hw.physics._fokker_planck import FokkerPlanck, Macrospin
from mock_hw.physics._parameters import DeviceError, DeviceParameters, load_device
from mock_hw.physics._readout import resistance
from mock_hw.physics._retention import escape_rate, hysteresis
from mock_hw.physics._table import SwitchingTable, build_table, table_of
from mock_hw.physics._trajectories import Trajectories, equilibrium, simulate

__all__ = [
    "DeviceError",
    "DeviceParameters",
    "FokkerPlanck",
    "Macrospin",
    "MacrospinDevice",
    "SwitchingTable",
    "Trajectories",
    "build_table",
    "equilibrium",
    "escape_rate",
    "hysteresis",
    "load_device",
    "resistance",
    "simulate",
    "table_of",
]
