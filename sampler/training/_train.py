"""Training: real digits, ε-prediction, an exponential moving average of the weights."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sampler._checkpoint import save_checkpoint
from sampler._digits import ATTRIBUTION, Digits, load_digits
from sampler._errors import SamplerError
from sampler._hook import hardware_noise
from sampler._model import build_model
from sampler._sources import Source
from sampler.training._names import NamedSources, named_sources, names_of
from sampler.training._settings import TrainSettings, check_settings

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    from entropy import Conditioning


@dataclass(frozen=True)
class TrainProgress:
    """One finished step: its number from 1, of how many, the step's loss, seconds since the start."""

    step: int
    steps: int
    loss: float
    seconds: float


def train(
    settings: TrainSettings,
    sources: Mapping[str, Source] | Source | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Path:
    """Train the network on the shipped digits and leave a checkpoint folder at `settings.out`.

    The random numbers have names (TRAINING_NAMES). `sources` gives one source for all of them, or by name; a name
    that it leaves out is drawn from a software stream of `settings.seed`; the card says which bits were whose. A
    checkpoint is written every `checkpoint_every` steps and at the end. The loss is Ho et al. 2020 (arXiv
    2006.11239), equation 14. Raises SamplerError for settings that make no sense and where a source runs out of
    bits.
    """
    _check(settings)
    digits = load_digits()
    seed = settings.seed if settings.seed is not None else secrets.randbits(63)
    named = NamedSources(named_sources(sources, names_of(settings.architecture), seed))
    start, losses = time.monotonic(), []
    with hardware_noise(named):
        run = _Run(settings, digits, named)
        for step in range(1, settings.steps + 1):
            losses.append(run.step())
            if progress is not None:
                progress(TrainProgress(step, settings.steps, losses[-1], time.monotonic() - start))
            if step % settings.checkpoint_every == 0 or step == settings.steps:
                seconds = time.monotonic() - start
                made = {"entropy": named.provenance(), "seconds": round(seconds, 1)}
                save_checkpoint(
                    settings.out,
                    run.average,
                    settings.architecture,
                    _card(settings, run, digits, losses, made),
                )
    return settings.out


def training_bill(settings: TrainSettings, conditioning: Conditioning) -> int:
    """Give recorded bits that are sure to suffice for a training; what is left over is free again afterwards.

    32 bits a weight, and for each picture of each step 32 a pixel, one number to choose it and one for its timestep.
    Those two are drawn by rejection, so their bits are counted twice: that more than half are rejected does not happen.
    """
    a = settings.architecture
    weights = sum(value.numel() for value in build_model(a).parameters())
    pixels = a.channels * a.image_size**2
    each = 32 * pixels + 2 * 2 * 32
    return conditioning.bits_in(32 * weights + settings.steps * settings.batch * each + 2**16)


def training_scheduler() -> DDPMScheduler:
    """The forward process that the network is trained for: 1,000 steps, linear β from 1e-4 to 0.02."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")


class _Run:
    """One training run: network, optimiser, average, and the digits as a tensor from −1 to 1."""

    def __init__(self, settings: TrainSettings, digits: Digits, named: NamedSources) -> None:
        self.settings, self.named = settings, named
        self.scheduler = training_scheduler()
        with named.drawing("weights"):
            self.model = build_model(settings.architecture)
        self.model.train()
        self.images = torch.from_numpy(digits.images).float().div(127.5).sub(1).unsqueeze(1)
        self.labels = torch.from_numpy(digits.labels).long()
        size = settings.architecture.image_size
        if self.images.shape[-1] != size:
            self.images = torch.nn.functional.interpolate(self.images, size=(size, size), mode="area")
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=settings.peak_rate, weight_decay=1e-4)
        self.rate = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=settings.peak_rate, total_steps=settings.steps + 1, pct_start=0.1
        )
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.done = 0

    def step(self) -> float:
        s = self.settings
        with self.named.drawing("shuffle"):
            chosen = torch.randint(0, len(self.images), (s.batch,))
        clean, labels = self.images[chosen], self.labels[chosen]
        with self.named.drawing("timesteps"):
            timesteps = torch.randint(0, int(self.scheduler.config["num_train_timesteps"]), (s.batch,))
        with self.named.drawing("diffusion"):
            noise = torch.randn_like(clean)
        noisy = self.scheduler.add_noise(clean, noise, timesteps)  # pyright: ignore[reportArgumentType]
        with (
            self.named.drawing("dropout"),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=s.precision == "bfloat16"),
        ):
            predicted = self.model(noisy, timesteps, class_labels=labels).sample
        loss = torch.nn.functional.mse_loss(predicted.float(), noise)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.rate.step()
        self.done += 1
        self._follow()
        return float(loss.detach())

    def _follow(self) -> None:
        # A young average forgets faster, so that it does not keep the first random weights for long.
        keep = min(self.settings.ema, (1 + self.done) / (10 + self.done))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value.detach(), 1 - keep)


def _check(settings: TrainSettings) -> None:
    check_settings(settings)
    if settings.architecture.channels != 1 or settings.architecture.labels != 10:
        raise SamplerError(
            "the shipped digits have one channel and ten labels: the network must have the same"
        )


def _card(
    settings: TrainSettings, run: _Run, digits: Digits, losses: list[float], made: dict[str, Any]
) -> dict[str, Any]:
    import diffusers
    import numpy

    window = 50
    curve = [
        [min(i + window, len(losses)), round(sum(part) / len(part), 5)]
        for i in range(0, len(losses), window)
        for part in [losses[i : i + window]]
    ]
    recorded = asdict(settings)
    del recorded["out"], recorded["architecture"], recorded["seed"]
    return {
        "data": {"name": ATTRIBUTION, "images": len(digits.images), "sha256": digits.sha256},
        "scheduler": {k: v for k, v in run.scheduler.config.items() if not k.startswith("_")},
        "training": {
            **recorded,
            "steps_done": len(losses),
            "objective": "epsilon",
            "weights": "moving average",
        },
        "loss_curve": curve,
        **made,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "numpy": numpy.__version__,
        },
        "trained_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
