"""One term of an energy account, and what terms add up to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Standing = Literal["measured", "computed", "assumed", "not known"]
Level = Literal["junction", "circuit", "system"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Term:
    """Joules of one kind, per usable bit or per picture; None where what it takes is not known.

    `standing` is that of the weakest number behind it: *measured* was read from a meter, *computed* follows by a law
    from what the files hold, *assumed* needs a number of the assumptions too. `level` is the lowest at which it counts.
    """

    name: str
    level: Level
    joules: float | None
    standing: Standing
    basis: str


def total(terms: Iterable[Term], level: Level = "system", *, without: str | None = None) -> float | None:
    """Add up the terms of a level and of those below it, in joules; None where none of them is known."""
    wanted = LEVELS[: LEVELS.index(level) + 1]
    known = [
        term.joules
        for term in terms
        if term.level in wanted and term.joules is not None and term.name != without
    ]
    return sum(known) if known else None
