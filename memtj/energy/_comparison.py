"""A store's bit beside those that others have published, at the same level, with and without each term."""

from collections.abc import Sequence
from dataclasses import dataclass

from ._assumptions import Assumptions, Published
from ._terms import LEVELS, Term, total


@dataclass(frozen=True)
class Ratio:
    """How many times the joules of our bit a published one takes, at the published one's level (below 1: fewer).

    `scaled`: with its energy scaled to the node of the assumptions, which is an assumption itself; `without`: where
    one of our terms is left out; `joule_area`: J·µm²/bit of the published one, unscaled. None: not known.
    """

    published: Published
    ratio: float | None
    scaled: float | None
    without: dict[str, float | None]
    joule_area: float | None
    scaled_area: float | None


def ratios(terms: Sequence[Term], assumed: Assumptions) -> list[Ratio]:
    """Hold a store's terms against every published generator of the assumptions."""
    return [_ratio(terms, each, assumed) for each in assumed.published]


def _ratio(terms: Sequence[Term], other: Published, assumed: Assumptions) -> Ratio:
    joules = other.joules_per_bit
    shrink = None if other.node is None else assumed.node.value / other.node
    counted = LEVELS[: LEVELS.index(other.level) + 1]

    def over(ours: float | None) -> float | None:
        return joules / ours if joules is not None and ours else None

    ratio = over(total(terms, other.level))
    return Ratio(
        other,
        ratio,
        None if ratio is None or shrink is None else ratio * shrink**assumed.energy_exponent.value,
        {
            term.name: over(total(terms, other.level, without=term.name))
            for term in terms
            if term.level in counted and term.joules
        },
        None if joules is None or other.area is None else joules * other.area * 1e12,
        None if other.area is None or shrink is None else other.area * shrink**assumed.area_exponent.value,
    )
