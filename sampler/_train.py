"""Training: real digits, ε-prediction, an exponential moving average of the weights."""

from __future__ import annotations

import contextlib
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sampler._checkpoint import save_checkpoint
from sampler._digits import ATTRIBUTION, Digits, load_digits
from sampler._errors import SamplerError
from sampler._model import Architecture, build_model

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    from entropy import Conditioning
    from sampler._sources import Source


@dataclass(frozen=True)
class TrainSettings:
    """How to train: `out` is the checkpoint folder; `seed` None asks the operating system for one.

    `precision` is that of the forward and backward pass ("float32", or "bfloat16" by autocast, faster where
    the processor has it); weights and their average are kept in float32.
    """

    out: Path
    steps: int = 3500
    batch: int = 64
    peak_rate: float = 2e-3
    ema: float = 0.999
    seed: int | None = None
    precision: str = "float32"
    checkpoint_every: int = 250
    architecture: Architecture = field(default_factory=Architecture)


@dataclass(frozen=True)
class TrainProgress:
    """One finished step: its number from 1, of how many, the step's loss, seconds since the start."""

    step: int
    steps: int
    loss: float
    seconds: float


def train(
    settings: TrainSettings,
    source: Source | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Path:
    """Train the network on the shipped digits and leave a checkpoint folder at `settings.out`.

    Every random number (weights, batches, timesteps, noise) comes from `source` under `hardware_noise`, or
    from torch's generator with `settings.seed` when there is none; the card says which. A checkpoint is
    written every `checkpoint_every` steps and at the end. The loss is Ho et al. 2020 (arXiv 2006.11239),
    equation 14. Raises SamplerError for settings that make no sense and, with a source, where it runs out of
    bits.
    """
    _check(settings)
    digits = load_digits()
    seed = settings.seed if settings.seed is not None else secrets.randbits(63)
    start, losses = time.monotonic(), []
    with _entropy(source, seed):
        run = _Run(settings, digits)
        for step in range(1, settings.steps + 1):
            losses.append(run.step())
            if progress is not None:
                progress(TrainProgress(step, settings.steps, losses[-1], time.monotonic() - start))
            if step % settings.checkpoint_every == 0 or step == settings.steps:
                entropy = source.provenance() if source is not None else {"source": "torch", "seed": seed}
                seconds = time.monotonic() - start
                card = _card(
                    settings, run, digits, losses, {"entropy": entropy, "seconds": round(seconds, 1)}
                )
                save_checkpoint(settings.out, run.average, settings.architecture, card)
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

    def __init__(self, settings: TrainSettings, digits: Digits) -> None:
        self.settings = settings
        self.scheduler = training_scheduler()
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
        chosen = torch.randint(0, len(self.images), (s.batch,))
        clean, labels = self.images[chosen], self.labels[chosen]
        noise = torch.randn_like(clean)
        timesteps = torch.randint(0, int(self.scheduler.config["num_train_timesteps"]), (s.batch,))
        noisy = self.scheduler.add_noise(clean, noise, timesteps)  # pyright: ignore[reportArgumentType]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=s.precision == "bfloat16"):
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


@contextlib.contextmanager
def _entropy(source: Source | None, seed: int) -> Iterator[None]:
    if source is None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    else:
        from sampler.hook import hardware_noise

        with hardware_noise(source):
            yield


def _check(settings: TrainSettings) -> None:
    if settings.precision not in ("float32", "bfloat16"):
        raise SamplerError(f"training precision {settings.precision!r} is unknown: use float32 or bfloat16")
    for name in ("steps", "batch", "checkpoint_every"):
        if getattr(settings, name) < 1:
            raise SamplerError(f"training needs {name} of at least 1, not {getattr(settings, name)}")
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
