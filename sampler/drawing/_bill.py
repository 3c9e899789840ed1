"""The bill: exactly how many bits a run will read, before it starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from entropy.arguments import Count, takes
from sampler._bernoulli_map import most_bernoulli_bits
from sampler._checkpoint import BINARY, Checkpoint
from sampler._errors import SamplerError
from sampler._noise_map import normal_bits
from sampler.drawing._reverse import BinaryReverse
from sampler.drawing._settings import SampleSettings
from sampler.hook import streams_noise
from sampler.processes import REFUSALS, build_scheduler, denoise, draw, first_law, step_options
from sampler.sources import SoftwareSource

if TYPE_CHECKING:
    from entropy import Conditioning


@dataclass(frozen=True)
class Bill:
    """What a run reads: pictures × pixels × draws × bits per normal, and so many recorded bits each for
    those.

    `draws` counts the noise tensors of one picture: the first and the random steps. Where a conditioning's rate
    varies, `recorded_each` is what must be at hand and not `exact`: what a picture does not read is free again. So it
    is where `noise_varies`: Bernoulli numbers, instead of normal ones, read a bit a draw at most, `bits_each` in all.
    """

    pictures: int
    pixels: int
    draws: int
    bits_each: int
    recorded_each: int
    exact: bool = True
    bits_per_normal: int = 32
    noise_varies: bool = False

    @property
    def bits(self) -> int:
        """Bits of noise of the whole run, after conditioning."""
        return self.pictures * self.bits_each

    @property
    def recorded(self) -> int:
        """Recorded bits of the whole run: what the lease must hold."""
        return self.pictures * self.recorded_each

    def __str__(self) -> str:
        k = self.recorded_each / self.bits_each
        each = "at most 1 bit" if self.noise_varies else f"{self.bits_per_normal} bits"
        return f"{self.pictures} pictures × {self.pixels} pixels × {self.draws} draws × {each} × " + (
            f"{k:g} = {self.recorded:,} recorded bits"
            if self.exact
            else f"about {k:.3g} = at most {self.recorded:,} recorded bits"
        )


@takes(pictures=Count())
def bill(
    checkpoint: Checkpoint, settings: SampleSettings, pictures: int, conditioning: Conditioning | None = None
) -> Bill:
    """Compute what sampling `pictures` pictures reads, exactly.

    The draws are counted by running the scheduler itself once on a single pixel. Raises SamplerError for
    settings that the scheduler refuses, and for new ones inside `hardware_noise`.
    """
    pixels = checkpoint.pictures.numbers
    varies = checkpoint.process == BINARY
    draws = BinaryReverse(checkpoint, settings).steps + 1 if varies else count_draws(settings, checkpoint)
    bits_each = (
        most_bernoulli_bits(draws * pixels)
        if varies
        else draws * normal_bits(pixels, settings.bits_per_normal)
    )
    recorded_each = bits_each if conditioning is None else conditioning.bits_in(bits_each)
    exact = not varies and (conditioning is None or conditioning.fixed_rate)
    return Bill(pictures, pixels, draws, bits_each, recorded_each, exact, settings.bits_per_normal, varies)


def count_draws(settings: SampleSettings, checkpoint: Checkpoint) -> int:
    """Count the noise tensors that one picture takes."""
    if settings.floor:
        raise SamplerError(
            "a floor leaves out flips of the binary process, and this network draws normal numbers: leave it out"
        )
    trained = json.dumps(checkpoint.card["scheduler"], sort_keys=True)
    kind = checkpoint.pictures
    return _count_draws(settings, trained, kind.out_channels // kind.channels)


@cache
def _count_draws(settings: SampleSettings, trained: str, answers: int) -> int:
    scheduler = build_scheduler(settings.scheduler, settings.steps, json.loads(trained), settings.options)
    options = step_options(scheduler, settings.eta)
    tally = SoftwareSource(0)
    with torch.no_grad(), streams_noise([tally]):
        x, _ = draw(first_law(scheduler, (1, 1, 1, 1)))
        try:
            for _, output in denoise(lambda x, _: x.new_zeros(1, answers, 1, 1), scheduler, x, options):
                x = output.prev_sample
        except REFUSALS as error:
            raise SamplerError(
                f"{type(scheduler).__name__} cannot step with this network's predictions: {error}"
            ) from error
    if x.shape != (1, 1, 1, 1) and answers > 1:
        raise SamplerError(
            f"{type(scheduler).__name__} cannot step with this network's predictions: it predicts the variance too; "
            "use ddpm with the option variance_type=learned_range"
        )
    if x.shape != (1, 1, 1, 1) or x.dtype is not torch.float32:
        raise SamplerError(f"{type(scheduler).__name__} does not draw pictures of real numbers")
    return tally.bits // normal_bits(1)
