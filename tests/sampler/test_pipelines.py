"""Unmodified diffusers pipelines under hardware_noise: their bits are counted, their pictures are the bits'."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from entropy import Store
from sampler import LeaseSource, SamplerError, SoftwareSource, hardware_noise, picture_generator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

# Some of diffusers' schedulers hand a tensor to numpy in a way that numpy 2 has an opinion on.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

SIZE, STEPS, BATCH = 8, 4, 3


@dataclass(frozen=True)
class Case:
    """A pipeline, a scheduler, how it is called, and how many of its steps draw noise."""

    pipeline: str
    scheduler: str
    noisy_steps: int
    settings: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        """What one picture reads: the first noise and each step's, 32 bits a pixel."""
        return 32 * SIZE * SIZE * (1 + self.noisy_steps)


SDE = {"algorithm_type": "sde-dpmsolver++"}
CASES = {
    "DDPM": Case("DDPMPipeline", "DDPMScheduler", STEPS - 1),  # the last step, at t = 0, adds none
    "DDIM, eta 0": Case("DDIMPipeline", "DDIMScheduler", 0, call={"eta": 0.0}),
    "DDIM, eta 1": Case("DDIMPipeline", "DDIMScheduler", STEPS, call={"eta": 1.0}),
    "DDIM in the DDPM pipeline": Case("DDPMPipeline", "DDIMScheduler", 0),
    "PNDM": Case("PNDMPipeline", "PNDMScheduler", 0),
    "PNDM in the DDIM pipeline": Case(
        "DDIMPipeline", "PNDMScheduler", STEPS, call={"eta": 1.0}
    ),  # made a DDIM
    "Euler ancestral": Case("DDPMPipeline", "EulerAncestralDiscreteScheduler", STEPS),
    "LCM": Case("DDPMPipeline", "LCMScheduler", STEPS - 1),
    "EDM Euler": Case("DDPMPipeline", "EDMEulerScheduler", 0),  # no churn unless asked for: see below
    "EDM DPM-Solver++": Case("DDPMPipeline", "EDMDPMSolverMultistepScheduler", 0),
    "EDM DPM-Solver++ SDE": Case("DDPMPipeline", "EDMDPMSolverMultistepScheduler", STEPS, SDE),
    "DPM-Solver++ SDE": Case("DDPMPipeline", "DPMSolverMultistepScheduler", STEPS, SDE),
}


@pytest.fixture(scope="module")
def unet() -> torch.nn.Module:
    """An untrained network of a few channels."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return diffusers.UNet2DModel(
            sample_size=SIZE,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        ).eval()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """diffusers logs that DDPMPipeline does not scale its input for Euler's schedulers: not the subject here."""
    before = diffusers.logging.get_verbosity()
    diffusers.logging.set_verbosity_error()
    yield
    diffusers.logging.set_verbosity(before)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def pictures_of(case: Case, unet: torch.nn.Module, **call: Any) -> np.ndarray:
    scheduler = getattr(diffusers, case.scheduler)(**case.settings)
    pipeline = getattr(diffusers, case.pipeline)(unet=unet, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    call = {"batch_size": BATCH, "num_inference_steps": STEPS, "output_type": "np", **case.call, **call}
    images = pipeline(**call).images
    assert np.isfinite(images).all()
    return images


def test_a_pipeline_reads_the_bits_that_theory_says(case: Case, unet: torch.nn.Module) -> None:
    source = SoftwareSource(1)
    state = torch.get_rng_state()
    with hardware_noise(source) as hook:
        first = pictures_of(case, unet)
    assert source.bits == BATCH * case.bits
    assert hook.draws == 1 + case.noisy_steps
    assert torch.equal(torch.get_rng_state(), state)
    with hardware_noise(SoftwareSource(1)):
        assert np.array_equal(pictures_of(case, unet), first)
    with hardware_noise(SoftwareSource(2)):
        assert not np.array_equal(pictures_of(case, unet), first)


def test_generators_are_accepted_and_neither_read_nor_moved(case: Case, unet: torch.nn.Module) -> None:
    one, several = torch.Generator(), [torch.Generator() for _ in range(BATCH)]
    states = [g.get_state() for g in (one, *several)]
    with hardware_noise(SoftwareSource(1)):
        expected = pictures_of(case, unet)
    for generator in (one, several):
        source = SoftwareSource(1)
        with hardware_noise(source):
            assert np.array_equal(pictures_of(case, unet, generator=generator), expected)
        assert source.bits == BATCH * case.bits
    assert all(torch.equal(g.get_state(), s) for g, s in zip((one, *several), states, strict=True))


def test_each_picture_can_have_bits_of_its_own(case: Case, unet: torch.nn.Module) -> None:
    with hardware_noise(SoftwareSource(1), pictures=BATCH) as hook:
        together = pictures_of(case, unet)
        bits = [stream.provenance()["bits"] for stream in hook.streams]
    assert bits == [case.bits] * BATCH
    with hardware_noise(SoftwareSource(1), pictures=BATCH):
        generators = [picture_generator(b) for b in range(BATCH)]
        assert np.array_equal(pictures_of(case, unet, generator=generators), together)
    with hardware_noise(SoftwareSource(1), pictures=BATCH):
        generators = [picture_generator(b) for b in reversed(range(BATCH))]
        turned = pictures_of(case, unet, generator=generators)
    assert np.array_equal(turned[::-1], together)


def test_a_batch_that_is_not_the_pictures_is_refused(unet: torch.nn.Module) -> None:
    with hardware_noise(SoftwareSource(1), pictures=BATCH + 1):
        with pytest.raises(SamplerError, match="leading axis"):
            pictures_of(CASES["DDPM"], unet)


def test_edm_s_churn_is_drawn_from_the_source(unet: torch.nn.Module) -> None:
    scheduler = diffusers.EDMEulerScheduler()
    scheduler.set_timesteps(STEPS)
    source = SoftwareSource(1)
    with hardware_noise(source):
        x = torch.randn(1, 1, SIZE, SIZE) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            with torch.no_grad():
                answer = unet(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(answer, t, x, s_churn=1.0).prev_sample
    assert source.bits == 32 * SIZE * SIZE * (1 + STEPS)


def test_a_pipeline_draws_from_a_lease_and_not_beyond(
    unet: torch.nn.Module, recorded: Callable[[int], Store]
) -> None:
    case, store = CASES["DDIM, eta 1"], recorded(1 << 18)
    with store.lease(2 * BATCH * case.bits, purpose="pipeline") as lease:
        with hardware_noise(LeaseSource(lease)):
            pictures_of(case, unet)
        assert lease.remaining == 0
    assert store.accounts().consumed == 2 * BATCH * case.bits
    short = 2 * BATCH * case.bits - 64
    with pytest.raises(SamplerError, match="the lease holds"):
        with store.lease(short, purpose="pipeline") as lease, hardware_noise(LeaseSource(lease)):
            pictures_of(case, unet)
    assert store.accounts().burned == short
