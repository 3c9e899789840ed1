"""The simulated bipolar supply Kepco BOP 36-12 with interface card BIT 4886, as the card's manual has it."""

from mock_hw.boxes.kepco_bop._commands import TABLE

__all__ = ["TABLE"]
