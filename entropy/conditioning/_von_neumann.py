"""Von Neumann's extractor, cell by cell."""

from ._peres import Peres


class VonNeumann(Peres):
    """Von Neumann's extractor (1951) on the outcomes of each cell by itself: Peres's of depth 1.

    The usable outcomes of a cell are taken in pairs: 10 gives a 1, 01 a 0, and equal ones nothing, so that at
    P(1) = 1/2 four raw bits give one. Fair for independent outcomes of equal P(1), whatever it is.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.name = "von-neumann"

    def __repr__(self) -> str:
        return "VonNeumann()"
