"""Bernoulli numbers from their probabilities: what draws them is software, recorded bits, or a device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sampler._bernoulli_map import BernoulliReader
from sampler.sources import Stream

Bits = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float64]


class BernoulliDraws(Protocol):
    """Draws bits of given probabilities, and stores them: what was drawn last is what a flip starts from.

    Probabilities are float64 (pictures, …) from 0 to 1; bits are uint8 of the same shape, 0 and 1.
    """

    def draw(self, p: Probabilities) -> Bits:
        """Draw each bit anew, 1 with its probability; gives what is stored then."""
        ...

    def flip(self, p: Probabilities) -> Bits:
        """Flip each stored bit with its probability; gives what is stored then. Before it comes a `draw`."""
        ...


class StreamDraws:
    """Bernoulli numbers from the bits of streams, one a picture: recorded bits, or a software source's.

    Exact to 2⁻⁴³, at little more than their entropy (docs/noise-map.md). `seconds`: of processor time so far.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._readers = [BernoulliReader(stream.read) for stream in streams]
        self._stored: Bits = np.empty(0, np.uint8)
        self.seconds = 0.0

    def draw(self, p: Probabilities) -> Bits:
        """Draw each bit anew, picture b's from stream b; raises SamplerError where it has too few bits."""
        self._stored = self._drawn(p)
        return self._stored

    def flip(self, p: Probabilities) -> Bits:
        """Flip each stored bit with its probability; raises SamplerError where a stream has too few bits."""
        self._stored = self._stored ^ self._drawn(p)
        return self._stored

    def _drawn(self, p: Probabilities) -> Bits:
        start = time.thread_time()
        drawn = np.stack([reader.read(own) for reader, own in zip(self._readers, p, strict=True)])
        self.seconds += time.thread_time() - start
        return drawn
