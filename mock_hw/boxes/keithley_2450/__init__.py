"""The simulated source-meter Keithley 2450: SCPI of its own, or a 2400's after a restart."""

from mock_hw.boxes.keithley_2450._commands import TABLE, TABLE_OF_2400

__all__ = ["TABLE", "TABLE_OF_2400"]
