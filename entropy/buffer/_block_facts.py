"""How a block of bits was made: what its row says beside the bits."""

from dataclasses import dataclass, fields

import numpy as np

from ..arguments import Count, Real, take_fields
from ._format import BLOCK_DTYPE


@dataclass(frozen=True)
class BlockFacts:
    """What is known of how a block of bits was made.

    `sequence`: the board's number of it; `positions`: whole pulses times cells, of which the bits are those that are
    usable; times in s (`host_time` since 1970); `voltage` and `read_voltage` in V at the device, `width` in s, `field`
    in T, `temperature` in K; `health`: flags of the health tests, where they are not 0 the block enters the ledger as
    withheld; `stalled`: whether the board waited for the host meanwhile. Raises RefusedArgument for what is no such
    number.
    """

    sequence: int
    positions: int
    pulses: int
    host_time: float
    board_time: float
    voltage: float
    width: float
    read_voltage: float
    field: float
    temperature: float
    failed_resets: int = 0
    health: int = 0
    stalled: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        whole, real = Count(), Real()
        take_fields(
            self, sequence=whole, positions=whole, pulses=whole, host_time=real, board_time=real, voltage=real,
            width=real, read_voltage=real, field=real, temperature=real, failed_resets=whole,
            health=Count(most=0xFFFFFFFF),
        )  # fmt: skip

    @classmethod
    def of(cls, row: np.void) -> "BlockFacts":
        """Take them from a block's row."""
        return cls(**{fact.name: row[fact.name].item() for fact in fields(cls)})

    def row(self) -> np.ndarray:
        """Give one row of BLOCK_DTYPE in which what concerns the bits themselves is 0."""
        row = np.zeros(1, BLOCK_DTYPE)
        for fact in fields(self):
            row[fact.name] = getattr(self, fact.name)
        return row
