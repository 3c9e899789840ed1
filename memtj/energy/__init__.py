"""What a bit, and a picture, costs in joules and in area: by term, each with where it comes from (docs/energy.md)."""

from ._assumptions import Assumed, Assumptions, Published, load_assumptions
from ._comparison import Ratio, ratios
from ._draw_joules import DrawJoules
from ._draws import DrawAccount
from ._joules import Joules, at_bias
from ._pictures import PicturesEnergy, energy_of_pictures
from ._recorded import Areas, StoreEnergy, energy_of_store, terms_of
from ._terms import LEVELS, Level, Standing, Term, total

__all__ = [
    "LEVELS",
    "Areas",
    "Assumed",
    "Assumptions",
    "DrawAccount",
    "DrawJoules",
    "Joules",
    "Level",
    "PicturesEnergy",
    "Published",
    "Ratio",
    "Standing",
    "StoreEnergy",
    "Term",
    "at_bias",
    "energy_of_pictures",
    "energy_of_store",
    "load_assumptions",
    "ratios",
    "terms_of",
    "total",
]
