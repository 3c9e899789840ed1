"""What a recording is asked for."""

from dataclasses import dataclass
from typing import Literal

from ..tuning import Tuning

ServoChoice = Literal["cells", "common", "off"]


@dataclass(frozen=True, eq=False)
class Settings:
    """What a recording is asked for, by the names of the parameters of `RecordBits`, which says what they are."""

    tuning: Tuning | None
    calibrate: bool
    servo: ServoChoice
    bits: int
    block_bits: int
    ahead: int
    retries: int
    watchdog: float
    min_entropy: float
    false_alarm: float
    most_failing_cells: float
    most_failing_blocks: float
