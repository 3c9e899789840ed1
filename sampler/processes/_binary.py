"""The binary process: pictures of bits, noised by flips; every random step is a draw of Bernoulli numbers.

Forward, a pixel flips with probability β_t (Sohl-Dickstein et al. 2015, arXiv 1503.03585; Austin et al. 2021, arXiv
2107.03006, with two states). Reverse, the network's P(x_0 = 1) gives the probability with which x_{t-1} differs from
x_t. The process says with which probability; `BernoulliDraws` says how it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, Count, Each, Real, take_fields, takes
from sampler._errors import SamplerError
from sampler.processes._draws import BernoulliDraws, Bits, Probabilities

BINARY_STEPS = 64
BERNOULLI = "bernoulli"
"""The name that the reverse of the binary process has where schedulers have theirs."""
ONE_FROM = 128
"""The pixel of 255 from which up a picture's bit is 1."""

Predict = Callable[[Bits, int], Probabilities]
"""The network: from x_t (pictures, …) and t, counted from 1, to P(x_0 = 1) of the same shape."""


@dataclass(frozen=True)
class BinaryProcess:
    """`steps` steps from a picture of bits to fair coin tosses, along the cosine schedule of diffusers."""

    steps: int = BINARY_STEPS

    def __post_init__(self) -> None:
        take_fields(self, steps=ANY)
        if not 1 <= self.steps <= 1000:
            raise SamplerError(f"a binary process has from 1 to 1000 steps, not {self.steps}")

    @classmethod
    def from_config(cls, config: Any) -> BinaryProcess:
        """Give the process of a model's card; raises SamplerError where it says another one."""
        if not isinstance(config, dict) or {**config, "steps": 0} != {**cls().config, "steps": 0}:
            raise SamplerError(
                f"the model's card describes a binary process that this memtj does not know: {config}"
            )
        return cls(config["steps"])

    @property
    def config(self) -> dict[str, Any]:
        """The process as its model's card has it."""
        return {"steps": self.steps, "schedule": "cosine"}

    @cached_property
    def kept(self) -> Probabilities:
        """The correlation of x_t with x_0, float64 (steps + 1,): 1 at t = 0, about 0 at the end."""
        from diffusers.schedulers.scheduling_ddpm import betas_for_alpha_bar

        lost = betas_for_alpha_bar(self.steps).numpy().astype(np.float64)
        return np.cumprod([1.0, *(1.0 - lost)], dtype=np.float64)

    @property
    def flips(self) -> Probabilities:
        """β_t: the probability that step t flips a pixel, float64 (steps,), t from 1; at most ½."""
        return (1 - self.kept[1:] / self.kept[:-1]) / 2

    def forward_law(self, clean: Bits, t: npt.NDArray[np.int64]) -> Probabilities:
        """P(x_t = 1) given x_0, `clean` (pictures, …), each picture's at its own t (pictures,)."""
        kept = self.kept[t].reshape(-1, *[1] * (clean.ndim - 1))
        return (1 + kept * (2.0 * clean - 1)) / 2

    @takes(t=Count(1), to=Count())
    def flip_law(self, x: Bits, p_one: Probabilities, t: int, to: int) -> Probabilities:
        """P(x_to ≠ x_t) given x_t = `x` and the network's P(x_0 = 1), for to < t: the posterior, mixed over x_0."""
        beta = (1 - self.kept[t] / self.kept[to]) / 2
        before, now = (1 - self.kept[[to, t]]) / 2  # chances of having been flipped by then
        same = np.where(x == 1, p_one, 1 - p_one)
        flipped = same * (beta * before / (1 - now)) + (1 - same) * (beta * (1 - before) / now)
        return np.clip(flipped, 0.0, 1.0)

    @takes(steps=ANY)
    def times(self, steps: int) -> list[int]:
        """The t that a reverse process of `steps` steps stands at, from the last down to 0; evenly, none twice."""
        if not 1 <= steps <= self.steps:
            raise SamplerError(
                f"this network was trained for {self.steps} binary steps: take 1 to {self.steps}"
            )
        return [round(self.steps * (steps - i) / steps) for i in range(steps + 1)]


@dataclass(frozen=True)
class BinaryStep:
    """The reverse process at t: `x`, the bits by now, and `guess`, the P(x_0 = 1) that led there (½ at first)."""

    t: int
    x: Bits
    guess: Probabilities


@takes(shape=Each(Count()), steps=ANY, floor=Real(0, 0.5))
def grow(
    process: BinaryProcess,
    predict: Predict,
    draws: BernoulliDraws,
    shape: tuple[int, ...],
    steps: int | None = None,
    *,
    writes: bool = False,
    floor: float = 0.0,
    begun: BinaryStep | None = None,
) -> Iterator[BinaryStep]:
    """The reverse process: yields fair coin tosses of `shape` (pictures, …), then the bits after each step.

    A step flips what is stored, or with `writes` draws every bit anew: the same law. A flip less likely than `floor`
    is left out (drawn with probability 0), which spares a device its pulse and changes the law by as much. `begun`: a
    step that it came to before, whose bits `draws` still hold; it yields that, and goes on.
    """
    times = process.times(process.steps if steps is None else steps)
    half = np.full(shape, 0.5)
    if begun is None:
        begun = BinaryStep(times[0], draws.draw(half), half)
    elif begun.t not in times or begun.x.shape != shape:
        raise SamplerError(
            f"t = {begun.t} and {begun.x.shape} bits are not of a process of {times} and {shape}"
        )
    times, x = times[times.index(begun.t) :], begun.x
    yield begun
    for t, to in pairwise(times):
        guess = predict(x, t)
        flip = process.flip_law(x, guess, t, to)
        flip = np.where(flip < floor, 0.0, flip)
        x = draws.draw(np.where(x == 1, 1 - flip, flip)) if writes else draws.flip(flip)
        yield BinaryStep(to, x, guess)
