"""The rules of a box that do not hold: a device raises them, and knows nothing of error numbers."""

from enum import Enum, auto


class Rule(Enum):
    """What kind of rule of a box does not hold."""

    RANGE = auto()
    CONFLICT = auto()
    PROTECTED = auto()
    RUNNING = auto()
    WATCHDOG = auto()
    INTERLOCK = auto()
    TEMPERATURE = auto()
    TRIGGER = auto()
    COMPLIANCE = auto()
    OUTPUT_OFF = auto()
    STALE = auto()
    SIMULATION = auto()


class RuleBroken(Exception):
    """A rule of a box does not hold: which kind of rule, and a sentence; nothing was changed, or else it says so."""

    def __init__(self, rule: Rule, detail: str = "") -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail
