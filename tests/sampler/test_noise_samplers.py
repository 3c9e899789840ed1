"""The noise_sampler argument of k-diffusion's samplers."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sampler import SamplerError, SoftwareSource, hardware_noise, noise_sampler, normals


# A stand-in with the signature of k-diffusion's function of this name, written for this test after the equations of
# ancestral sampling (Song et al. 2021; Karras et al. 2022, Euler): k-diffusion is not among our dependencies.
@torch.no_grad()
def sample_euler_ancestral(
    model: Any,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Callable[[Any, Any], torch.Tensor] | None = None,
) -> torch.Tensor:
    draw = noise_sampler or (lambda sigma, sigma_next: torch.randn_like(x))
    for sigma, sigma_next in itertools.pairwise(sigmas):
        denoised = model(x, sigma * x.new_ones(len(x)), **(extra_args or {}))
        up = min(sigma_next, eta * (sigma_next**2 * (1 - sigma_next**2 / sigma**2)) ** 0.5)
        down = (sigma_next**2 - up**2) ** 0.5
        x = x + (x - denoised) / sigma * (down - sigma)
        if sigma_next > 0:
            x = x + draw(sigma, sigma_next) * s_noise * up
    return x


SIGMAS = torch.tensor([10.0, 3.0, 1.0, 0.3, 0.0])
X = torch.linspace(-1, 1, 2 * 3 * 4 * 4).view(2, 3, 4, 4)


def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return x / (1 + sigma.view(-1, 1, 1, 1))


@pytest.mark.parametrize("pictures", [False, True])
@pytest.mark.parametrize("width", [32, 8, 1])
def test_a_sampler_with_it_draws_what_it_would_inside_the_hook(pictures: bool, width: int) -> None:
    source, inside = SoftwareSource(4), SoftwareSource(4)
    state = torch.get_rng_state()
    given = sample_euler_ancestral(
        model, X, SIGMAS, noise_sampler=noise_sampler(source, X, pictures, bits_per_normal=width)
    )
    with hardware_noise(inside, pictures=2 if pictures else None, bits_per_normal=width):
        assert torch.equal(sample_euler_ancestral(model, X, SIGMAS), given)
    assert source.bits == inside.bits == (0 if pictures else 3 * 96 * width)
    assert torch.equal(torch.get_rng_state(), state)
    other = sample_euler_ancestral(
        model, X, SIGMAS, noise_sampler=noise_sampler(SoftwareSource(5), X, pictures)
    )
    assert not torch.equal(other, given)


def test_each_picture_has_a_stream_of_its_own() -> None:
    draw = noise_sampler(SoftwareSource(4), X, pictures=True)
    first, second = draw(10, 3), draw(3, 1)
    for b in range(2):
        expected = normals(SoftwareSource(4, stream=b + 1).read(2 * 48 * 32)).reshape(2, 3, 4, 4)
        assert np.array_equal(torch.stack([first[b], second[b]]).numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_it_has_the_tensor_s_type_and_shape(dtype: torch.dtype) -> None:
    like = torch.zeros(5, 3, dtype=dtype).t()
    drawn = noise_sampler(SoftwareSource(1), like)(2, 1)
    with hardware_noise(SoftwareSource(1)):
        assert torch.equal(drawn, torch.randn(3, 5, dtype=dtype))
    assert drawn.dtype == dtype


def test_it_works_inside_the_hook_from_a_source_of_its_own() -> None:
    outer = SoftwareSource(1)
    with hardware_noise(outer):
        inside = noise_sampler(SoftwareSource(2), X)(2, 1)
    assert outer.bits == 0
    assert torch.equal(inside, noise_sampler(SoftwareSource(2), X)(2, 1))


@pytest.mark.parametrize(
    ("like", "options", "message"),
    [
        (torch.zeros(2, dtype=torch.int64), {}, "real floating"),
        (torch.zeros(2, dtype=torch.complex64), {}, "real floating"),
        (torch.zeros(()), {"pictures": True}, "first axis"),
        (torch.zeros(2), {"bits_per_normal": 3}, "not 3"),
    ],
)
def test_what_cannot_be_served_is_refused(like: torch.Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SamplerError, match=message):
        noise_sampler(SoftwareSource(1), like, **options)
