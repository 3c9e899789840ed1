"""The field by a gaussmeter Lake Shore 425, opened by pymeasure's own class, which converts no unit."""

import math
from typing import ClassVar

from pymeasure.instruments import Instrument

from ..._errors import BenchError
from ._wire import SOCKET_LINES, ask, ask_number, expect_model, tell

_TESLA = "2"


class LakeShore425Gaussmeter:
    """Tesla along its probe. It has no output, no error queue and no registers, so nothing marks its answers."""

    driver: ClassVar[str] = "pymeasure.instruments.lakeshore.LakeShore425"
    models: ClassVar[tuple[str, ...]] = ("MODEL425",)
    unseen: ClassVar[tuple[str, ...]] = ("where the probe is, and along which axis, is asked of nobody",)
    terminations: ClassVar[dict[str, str]] = SOCKET_LINES

    def __init__(self, box: Instrument) -> None:
        self._box = box

    def check(self) -> None:
        """Refuse another box."""
        expect_model(self._box, self.models, marked=False)

    def output_is_on(self) -> bool:
        """Say that there is none."""
        return False

    def look(self) -> str:
        """Say what the box is set to, changing nothing."""
        unit, mode = (ask(self._box, question, marked=False) for question in ("UNIT?", "RDGMODE?"))
        shown = "tesla" if unit == _TESLA else f"unit {unit}, not tesla yet"
        return f"{shown}, {'DC' if mode.startswith('1') else f'mode {mode}, not DC yet'}"

    def prepare(self) -> None:
        """Have it read steady fields in tesla, in the range that fits, read back."""
        box = self._box
        self.check()
        tell(box, "UNIT 2", "RDGMODE 1,0,1", "AUTO 1")
        for question, wanted in (("UNIT?", _TESLA), ("RDGMODE?", "1,0,1"), ("AUTO?", "1")):
            if (answer := ask(box, question, marked=False)) != wanted:
                raise BenchError(
                    f"the {box.name!r} answers {question} by {answer!r} where {wanted} is expected: look at it "
                    "before going on"
                )

    def field(self) -> float:
        """Read the field, T; raises BenchError where the unit is another, or no number comes."""
        if (unit := ask(self._box, "UNIT?", marked=False)) != _TESLA:
            raise BenchError(
                f"the {self._box.name!r} reads in unit {unit!r}, not in tesla (2): who changed it?"
            )
        tesla = ask_number(self._box, "RDGFIELD?", marked=False)
        if not math.isfinite(tesla):
            raise BenchError(f"the {self._box.name!r} reads no field: look at its probe")
        return tesla

    def off(self) -> None:
        """Do nothing: it only reads."""
