"""The bill of a training: how many bits each of its random numbers will read, before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

from entropy.arguments import Count, takes
from sampler._model import Architecture, build_model
from sampler.hook import hardware_noise
from sampler.sources import SoftwareSource, StoreSource, Stream
from sampler.training._names import NamedSources, named_sources, names_of
from sampler.training._objective import timesteps_of
from sampler.training._settings import TrainSettings, check_settings

_WORD = 32  # bits of one number


@dataclass(frozen=True)
class NameBill:
    """What one name reads: bits of noise from which source, and recorded bits of a store for them (else 0)."""

    name: str
    source: str
    bits: int
    recorded: int


@dataclass(frozen=True)
class TrainingBill:
    """What a training reads at most, by name; `recorded`: what its stores must promise in all; `epochs` it lasts.

    Shuffling and timesteps are drawn by rejection: so many words are added for it that the chance of needing more is
    below 2^-64 a stretch. What is not read is free again.
    """

    names: tuple[NameBill, ...]
    recorded: int
    epochs: float

    @property
    def bits(self) -> int:
        """Bits of noise in all."""
        return sum(line.bits for line in self.names)

    @property
    def each_epoch(self) -> tuple[int, int]:
        """What an epoch reads on average, initial weights aside: bits of noise, and recorded bits."""
        drawn = [line for line in self.names if line.name != "weights"]
        return (
            round(sum(line.bits for line in drawn) / self.epochs),
            round(sum(line.recorded for line in drawn) / self.epochs),
        )

    def __str__(self) -> str:
        lines = [
            f"{line.name:<10} {line.bits:>18,} bits of noise"
            + (f" = {line.recorded:>18,} recorded bits" if line.recorded else "")
            + f"   ({line.source})"
            for line in self.names
        ]
        whole = f"{'in all':<10} {self.bits:>18,} bits of noise"
        whole += f" = {self.recorded:>18,} recorded bits" if self.recorded else ""
        lines.append(f"{whole}   ({self.epochs:.3g} epochs)")
        if self.epochs > 1:
            bits, recorded = self.each_epoch
            whole = f"{'an epoch':<10} {bits:>18,} bits of noise"
            lines.append(whole + (f" = {recorded:>18,} recorded bits" if recorded else ""))
        return "\n".join(lines)


@takes(images=Count(1), done=Count())
def training_bill(
    settings: TrainSettings,
    sources: Mapping[str, Stream] | Stream | None = None,
    *,
    images: int = 10_000,
    done: int = 0,
) -> TrainingBill:
    """Compute what a training on `images` pictures reads, by name and in all; after `done` steps, what is left.

    `sources` as for `train`. Raises SamplerError for settings that make no sense, and inside `hardware_noise`.
    """
    check_settings(settings)
    names = names_of(settings.architecture)
    named = NamedSources(named_sources(sources, names, settings.seed or 0))
    bits, recorded = dict.fromkeys(names, 0), 0
    for first, last in stretches(settings, done):
        wanted = stretch_bits(settings, images, first, last)
        for name in names:
            bits[name] += wanted[name]
        recorded += sum(recorded_bits(named, wanted).values())
    lines = tuple(
        NameBill(name, source.name, bits[name], _recorded(source, bits[name]))
        for name, source in named.sources.items()
    )
    return TrainingBill(lines, recorded, (settings.steps - done) * settings.batch / images)


def stretches(settings: TrainSettings, done: int | None = None) -> list[tuple[int, int]]:
    """The stretches of a training, each a pair of steps (after which it begins, with which it ends).

    The first, (0, 0), is the initial weights alone; `done` None or 0 begins with it.
    """
    every, at = settings.checkpoint_every, done or 0
    ends = [*range(at - at % every + every, settings.steps, every), settings.steps]
    begins = [at, *ends]
    steps = [(first, last) for first, last in zip(begins, ends, strict=False) if last > first]
    return steps if done else [(0, 0), *steps]


def stretch_bits(settings: TrainSettings, images: int, first: int, last: int) -> dict[str, int]:
    """Bits of noise, by name, that the steps after `first` up to `last` read at most; (0, 0): the weights'."""
    a = settings.architecture
    weights, dropout = fixed_draws(a)
    if last == 0:
        return {name: weights if name == "weights" else 0 for name in names_of(a)}
    pictures = (last - first) * settings.batch
    orders = -(-last * settings.batch // images) - -(-first * settings.batch // images)
    wanted = {
        "weights": 0,
        # A permutation of n draws from 2, 3 … n numbers, of which at most n in 2³² words are rejected.
        "shuffle": _WORD * (orders * (images - 1) + _spare(orders * images**2 / 2**33)),
        "timesteps": _WORD * (pictures + _spare(pictures * (2**_WORD % timesteps_of(settings)) / 2**_WORD)),
        "diffusion": _WORD * pictures * a.channels * a.image_size**2,
        "dropout": pictures * dropout,
    }
    return {name: wanted[name] for name in names_of(a)}


def recorded_bits(named: NamedSources, wanted: Mapping[str, int]) -> dict[StoreSource, int]:
    """Recorded bits that each store must lease for the bits of noise `wanted`; stores that need none are left out."""
    needed = {store: sum(wanted[name] for name in named.served_by(store)) for store in named.stores}
    return {store: _recorded(store, bits) for store, bits in needed.items() if bits}


def _recorded(source: Stream, bits: int) -> int:
    return source.conditioning.bits_in(bits) if isinstance(source, StoreSource) and bits else 0


def _spare(expected: float) -> int:
    """Words to add where `expected` are rejected: more are with a chance below expected^m / m! < 2^-64 (Poisson)."""
    spare, chance = 0, float(expected > 0)
    while chance > 2.0**-64:
        spare += 1
        chance *= expected / spare
    return spare


@cache
def fixed_draws(architecture: Architecture) -> tuple[int, int]:
    """Bits of the initial weights, and of dropout in one forward pass of one picture: both counted by drawing them."""
    tally = NamedSources(named_sources(SoftwareSource(0), names_of(architecture), 0))
    a = architecture
    with hardware_noise(tally):
        with tally.drawing("weights"):
            model = build_model(a)
        if a.dropout:
            model.train()
            picture, zero = torch.zeros(1, a.channels, a.image_size, a.image_size), torch.zeros(1).long()
            with torch.no_grad(), tally.drawing("dropout"):
                model(picture, zero, class_labels=zero)
    return tally.bits["weights"], tally.bits.get("dropout", 0)
