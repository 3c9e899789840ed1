"""The simulated gaussmeter Lake Shore 425, as its User's Manual has it."""

from mock_hw.boxes.lakeshore_425._commands import TABLE

__all__ = ["TABLE"]
