"""What a source of bits is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.uint8]


class Source(Protocol):
    """One stream of bits, read in call order."""

    @property
    def name(self) -> str:
        """What the bits are, in a word or two."""
        ...

    def read(self, bits: int) -> Packed:
        """Take the next `bits` (a multiple of 8), packed, most significant first; raises SamplerError at the
        end.
        """
        ...

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Give `count` streams that share no bit, one a picture.

        `bits_each` is what each picture will read exactly; without it a finite source shares all it has
        evenly.
        """
        ...

    def provenance(self) -> dict[str, Any]:
        """Say what was read so far, as JSON values, so that it can be had again (or that it cannot)."""
        ...
