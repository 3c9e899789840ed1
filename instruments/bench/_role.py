"""What the bench needs of every role, and the order in which roles are made safe."""

from enum import IntEnum
from typing import Any, ClassVar, Protocol


class SafeStep(IntEnum):
    """The safe order: the bench makes its roles safe step by step, whatever fails on the way.

    What switches cells stops first, then what heats them; a selector opens when nothing is driven through it; a magnet
    is ramped down before anything that may feed it is cut; what merely supplies the others goes last.
    """

    PULSES = 1
    READ_VOLTAGE = 2
    SELECTOR = 3
    FIELD = 4
    OUTPUTS = 5


class Role(Protocol):
    """What an instrument does on the bench; the role, not the driver, knows its safe state, and when its turn comes.

    `safe_words`: how its safe state is called; `where_silent`: what is to be done where it cannot be reached;
    `prepared`: whether `prepare` went through: a box that was refused is left to the program that uses it.
    """

    safe_step: ClassVar[SafeStep]
    safe_words: ClassVar[str]
    where_silent: ClassVar[str]
    instrument: str
    prepared: bool

    def prepare(self) -> None:
        """Put the limits into driver and box; refuse a box that somebody else uses."""

    def safe_state(self) -> bool:
        """Bring the box to its safe state; returns whether the box confirms it, raises where it is silent."""
        ...

    def findings(self) -> list[tuple[str, bool, str]]:
        """Look at the box without changing anything: what was looked at, whether it is well, and why."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Say everything that is known, JSON-able."""
        ...
