"""The simulated source-meter Keithley 2400: source volts, measure amperes, as the 2400 Series User's Manual has it."""

from mock_hw.boxes.keithley_2400._commands import TABLE

__all__ = ["TABLE"]
