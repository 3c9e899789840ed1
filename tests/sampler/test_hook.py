"""The noise hook: each random operation of torch is served or refused, and all is put back."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from sampler import SamplerError, SoftwareSource, hardware_noise, normals, picture_generator, uniforms

Draw = Callable[[torch.Generator], torch.Tensor]


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape)


SERVED: dict[str, Draw] = {
    "randn": lambda g: torch.randn(5, generator=g),
    "randn without generator": lambda g: torch.randn(5),
    "randn_like": lambda g: torch.randn_like(ones(3)),
    "randn out": lambda g: torch.randn(3, out=torch.empty(3)),
    "normal_": lambda g: torch.empty(5).normal_(1, 2, generator=g),
    "normal of tensors": lambda g: torch.normal(ones(3, 1), ones(4), generator=g),
    "normal of tensors out": lambda g: torch.normal(ones(3), ones(3), out=torch.empty(0)),
    "normal of a mean": lambda g: torch.normal(ones(3), 2.0),
    "normal of a mean out": lambda g: torch.normal(ones(3), 2.0, out=torch.empty(3)),
    "normal of a mean alone": lambda g: torch.normal(ones(3)),
    "normal of a deviation": lambda g: torch.normal(1.0, ones(4)),
    "normal of a deviation out": lambda g: torch.normal(1.0, ones(4), out=torch.empty(4)),
    "normal of numbers": lambda g: torch.normal(1.0, 2.0, (4,)),
    "trunc_normal_": lambda g: torch.nn.init.trunc_normal_(torch.empty(4), generator=g),
    "rand": lambda g: torch.rand(5, generator=g),
    "rand_like": lambda g: torch.rand_like(ones(3)),
    "uniform_": lambda g: torch.empty(3).uniform_(-1, 1),
    "bernoulli": lambda g: torch.bernoulli(ones(9) / 2, generator=g),
    "bernoulli of p": lambda g: torch.bernoulli(ones(9), 0.5),
    "bernoulli out": lambda g: torch.bernoulli(ones(9) / 2, out=torch.empty(9)),
    "bernoulli_": lambda g: ones(9).bernoulli_(0.5),
    "bernoulli_ of tensor": lambda g: ones(2, 3).bernoulli_(ones(3) / 2),
    "randint": lambda g: torch.randint(0, 10, (5,), generator=g),
    "randint_like": lambda g: torch.randint_like(ones(3), 5),
    "random_": lambda g: torch.empty(3, dtype=torch.int64).random_(generator=g),
    "random_ of floats": lambda g: torch.empty(3).random_(),
    "random_ to": lambda g: torch.empty(3, dtype=torch.uint8).random_(10),
    "random_ from": lambda g: torch.empty(3, dtype=torch.int64).random_(-(2**63), None),
    "randperm": lambda g: torch.randperm(10, generator=g),
    "dropout": lambda g: F.dropout(ones(20), 0.5),
    "dropout2d": lambda g: F.dropout2d(ones(2, 3, 4, 4), 0.5),
    "alpha_dropout": lambda g: F.alpha_dropout(ones(20), 0.5, training=True),
    "feature_alpha_dropout": lambda g: F.feature_alpha_dropout(ones(2, 3, 4, 4), 0.5, training=True),
    "native_dropout": lambda g: torch.native_dropout(ones(20), 0.5, True)[0],
    "attention with dropout": lambda g: F.scaled_dot_product_attention(
        ones(1, 2, 4, 8), ones(1, 2, 4, 8), ones(1, 2, 4, 8), dropout_p=0.5
    ),
    "lstm with dropout": lambda g: torch.nn.LSTM(3, 4, 2, dropout=0.5)(ones(5, 2, 3))[0],
    "linear layer": lambda g: torch.nn.Linear(3, 4).weight,
}
REFUSED: dict[str, Draw] = {
    "multinomial": lambda g: torch.multinomial(ones(4), 2, generator=g),
    "multinomial with replacement": lambda g: torch.multinomial(ones(4), 2, replacement=True),
    "multinomial out": lambda g: torch.multinomial(ones(4), 2, out=torch.empty(0, dtype=torch.int64)),
    "exponential_": lambda g: torch.empty(3).exponential_(generator=g),
    "poisson": lambda g: torch.poisson(ones(3)),
    "binomial": lambda g: torch.binomial(ones(3), ones(3) / 2),
    "gamma": lambda g: torch._standard_gamma(ones(3)),
    "dirichlet": lambda g: torch._sample_dirichlet(ones(3)),
    "cauchy_": lambda g: torch.empty(3).cauchy_(),
    "geometric_": lambda g: torch.empty(3).geometric_(0.5),
    "log_normal_": lambda g: torch.empty(3).log_normal_(),
    "rrelu": lambda g: F.rrelu(-ones(3), training=True),
    "rrelu_": lambda g: F.rrelu_(-ones(3), training=True),
    "complex randn": lambda g: torch.randn(3, dtype=torch.complex64),
}
# Each processor kernel that torch tags as random, and the draw above (or the reason) that covers it.
COVERED = {
    "aten::_fused_sdp_choice": "attention with dropout",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "attention without dropout, tested below",
    "aten::_sample_dirichlet": "dirichlet",
    "aten::_standard_gamma": "gamma",
    "aten::bernoulli.out": "bernoulli out",
    "aten::bernoulli_.Tensor": "bernoulli_ of tensor",
    "aten::bernoulli_.float": "bernoulli_",
    "aten::binomial": "binomial",
    "aten::cauchy_": "cauchy_",
    "aten::exponential_": "exponential_",
    "aten::geometric_": "geometric_",
    "aten::log_normal_": "log_normal_",
    "aten::multinomial": "multinomial",
    "aten::multinomial.out": "multinomial out",
    "aten::native_dropout": "native_dropout",
    "aten::normal.Tensor_Tensor": "normal of tensors",
    "aten::normal.Tensor_Tensor_out": "normal of tensors out",
    "aten::normal.Tensor_float": "normal of a mean",
    "aten::normal.Tensor_float_out": "normal of a mean out",
    "aten::normal.float_Tensor": "normal of a deviation",
    "aten::normal.float_Tensor_out": "normal of a deviation out",
    "aten::normal_": "normal_",
    "aten::poisson": "poisson",
    "aten::random_": "random_",
    "aten::random_.from": "random_ from",
    "aten::random_.to": "random_ to",
    "aten::randperm.generator_out": "randperm",
    "aten::rrelu_with_noise": "rrelu",
    "aten::rrelu_with_noise.out": "rrelu",
    "aten::rrelu_with_noise_": "rrelu_",
    "aten::uniform_": "uniform_",
}


def test_every_random_kernel_of_this_torch_is_covered() -> None:
    kernels = {name for name, key in _random_kernels() if key == "CPU"}
    assert kernels == set(COVERED)


@pytest.mark.parametrize("name", SERVED)
def test_served_draws_come_from_the_source_alone(name: str) -> None:
    generator = torch.Generator()
    states = generator.get_state(), torch.get_rng_state()
    results = []
    for _ in range(2):
        source = SoftwareSource(3)
        with hardware_noise(source):
            results.append(SERVED[name](generator))
        assert source.bits > 0
    assert torch.equal(results[0], results[1])
    assert torch.equal(generator.get_state(), states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


@pytest.mark.parametrize("name", REFUSED)
def test_other_draws_raise_and_leave_torch_s_generators_alone(name: str) -> None:
    generator = torch.Generator()
    states = generator.get_state(), torch.get_rng_state()
    source = SoftwareSource(3)
    with hardware_noise(source), pytest.raises(SamplerError, match="not serve"):
        REFUSED[name](generator)
    assert source.bits == 0
    assert torch.equal(generator.get_state(), states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


def test_attention_and_rrelu_that_draw_nothing_still_work() -> None:
    q, x = torch.linspace(-1, 1, 64).view(1, 2, 4, 8), -ones(3)
    expected = F.scaled_dot_product_attention(q, q, q), F.rrelu(x), F.rrelu_(x.clone())
    source = SoftwareSource(1)
    with hardware_noise(source):
        got = F.scaled_dot_product_attention(q, q, q), F.rrelu(x), F.rrelu_(x.clone())
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert source.bits == 0


def bits(count: int, seed: int = 3, stream: int = 0) -> np.ndarray:
    return SoftwareSource(seed, stream).read(count)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_normals_are_the_noise_map_s_in_every_type_and_layout(dtype: torch.dtype) -> None:
    expected = torch.from_numpy(normals(bits(32 * 24))).view(4, 6)
    with hardware_noise(SoftwareSource(3)):
        plain = torch.randn(4, 6, dtype=dtype)
    with hardware_noise(SoftwareSource(3)):
        strided = torch.zeros(6, 8, dtype=dtype).t()[::2].normal_()
    with hardware_noise(SoftwareSource(3)):
        scaled = torch.empty(4, 6, dtype=dtype).normal_(3, 2)
    assert torch.equal(plain, expected.to(dtype))
    assert torch.equal(strided, expected.to(dtype))
    assert torch.equal(scaled, expected.to(dtype) * 2 + 3)


@pytest.mark.parametrize(
    ("dtype", "mantissa"),
    [(torch.float32, 24), (torch.float64, 53), (torch.float16, 11), (torch.bfloat16, 8)],
)
def test_uniforms_are_the_noise_map_s_and_stay_below_their_end(dtype: torch.dtype, mantissa: int) -> None:
    n = 5000
    with hardware_noise(SoftwareSource(3)):
        u = torch.rand(n, dtype=dtype)
    with hardware_noise(SoftwareSource(3)):
        wide = torch.empty(n, dtype=dtype).uniform_(1, 5)
    assert torch.equal(
        u, torch.from_numpy(uniforms(bits((64 if mantissa == 53 else 32) * n), mantissa)).to(dtype)
    )
    assert 1 <= float(wide.min()) <= float(wide.max()) < 5


def test_bernoulli_is_u_below_p() -> None:
    u = torch.from_numpy(uniforms(bits(32 * 1000), 24))
    p = torch.linspace(0, 1, 1000)
    with hardware_noise(SoftwareSource(3)):
        assert torch.equal(torch.empty(1000).bernoulli_(0.3), (u.double() < 0.3).float())
    with hardware_noise(SoftwareSource(3)):
        assert torch.equal(torch.bernoulli(p), (u < p).float())


def test_pictures_are_filled_slice_by_slice_from_their_own_streams() -> None:
    with hardware_noise(SoftwareSource(3), pictures=3) as noise:
        first, second = torch.randn(3, 2, 5), torch.rand(3, 4)
        mask = torch.bernoulli(torch.full((3, 4), 0.5))
    assert noise.draws == 3
    assert noise.cpu_seconds > 0
    for b in range(3):
        raw = bits(32 * 18, stream=b + 1)
        assert torch.equal(first[b], torch.from_numpy(normals(raw[:40])).view(2, 5))
        assert torch.equal(second[b], torch.from_numpy(uniforms(raw[40:56], 24)))
        assert torch.equal(mask[b], torch.from_numpy(uniforms(raw[56:], 24) < 0.5).float())


def test_a_draw_that_is_not_of_the_pictures_needs_a_bound_generator() -> None:
    with hardware_noise(SoftwareSource(3), pictures=3) as noise:
        for draw in (lambda: torch.randn(2, 3), lambda: torch.randn(()), lambda: torch.randperm(3)):
            with pytest.raises(SamplerError, match="picture_generator"):
                draw()
        with pytest.raises(SamplerError, match="picture_generator"):
            torch.randn(2, generator=torch.Generator())
        got = torch.randn(1, 4, generator=picture_generator(1))
        again = torch.randn(4, generator=noise.picture_generator(1))
        order = torch.randperm(5, generator=picture_generator(0))
        with pytest.raises(SamplerError, match="none of the 3"):
            noise.picture_generator(3)
    raw = normals(bits(32 * 8, stream=2))
    assert torch.equal(torch.cat([got[0], again]), torch.from_numpy(raw))
    assert sorted(order.tolist()) == list(range(5))
    with pytest.raises(SamplerError):
        picture_generator(0)


def torch_draws_by_itself() -> bool:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        a = torch.randn(4), torch.rand(2), torch.randperm(5), torch.empty(3).exponential_()
        torch.manual_seed(0)
        b = torch.randn(4), torch.rand(2), torch.randperm(5), torch.empty(3).exponential_()
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def _leave_by_exception() -> None:
    with hardware_noise(SoftwareSource(1)):
        torch.randn(3)
        raise KeyError


def test_everything_is_put_back_also_after_an_exception() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        before = torch.randn(8)
    for _ in range(50):
        with pytest.raises(KeyError):
            _leave_by_exception()
    with torch.random.fork_rng():
        torch.manual_seed(4)
        assert torch.equal(torch.randn(8), before)
    assert torch_draws_by_itself()
    x = ones(4).requires_grad_()
    checkpoint(lambda t: F.dropout(t) * t, x, use_reentrant=False).sum().backward()
    assert x.grad is not None


def test_one_hook_at_a_time() -> None:
    with hardware_noise(SoftwareSource(1)):
        with pytest.raises(SamplerError, match="one at a time"), hardware_noise(SoftwareSource(2)):
            pass
        torch.randn(2)


def test_another_thread_is_refused() -> None:
    raised: list[BaseException] = []

    def other() -> None:
        try:
            torch.randn(3)
        except SamplerError as error:
            raised.append(error)

    with hardware_noise(SoftwareSource(1)):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread" in str(raised[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_refused() -> None:
    with hardware_noise(SoftwareSource(1)), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            try:
                torch.randn(3)
            except SamplerError as error:
                os._exit(7 if "forked child" in str(error) else 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_is_refused(reentrant: bool) -> None:
    x = ones(4).requires_grad_()
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match="checkpointing"):
        checkpoint(F.dropout, x, use_reentrant=reentrant)


def test_a_draw_in_a_backward_pass_is_refused() -> None:
    x = ones(4).requires_grad_()
    y = checkpoint(F.dropout, x, use_reentrant=False)
    assert isinstance(y, torch.Tensor)
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match="backward pass"):
        y.sum().backward()


def test_dropout_trains_under_the_hook() -> None:
    x = ones(1000).requires_grad_()
    with hardware_noise(SoftwareSource(1)):
        y = F.dropout(x, 0.25)
        y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_compiled_code_runs_eagerly_and_draws_from_the_source() -> None:
    def draw() -> torch.Tensor:
        return torch.randn(4)

    compiled = torch.compile(draw, backend="eager")
    with hardware_noise(SoftwareSource(3)):
        got = compiled()
    assert torch.equal(got, torch.from_numpy(normals(bits(32 * 4))))


def test_torch_s_own_complaints_stay() -> None:
    with hardware_noise(SoftwareSource(1)):
        for wrong in (
            lambda: torch.empty(2).normal_(0, -1),
            lambda: torch.empty(2).uniform_(2, 1),
            lambda: torch.empty(2).bernoulli_(2.0),
            lambda: torch.bernoulli(torch.full((2,), 2.0)),
            lambda: torch.empty(2).random_(3, 3),
            lambda: torch.randperm(-1),
        ):
            with pytest.raises(RuntimeError):
                wrong()
        assert torch.randn(0, 3).shape == (0, 3)


@pytest.mark.parametrize("name", ["DDPMPipeline", "DDIMPipeline"])
def test_unmodified_pipelines_of_diffusers_draw_from_the_source(name: str) -> None:
    import diffusers
    from diffusers.models.unets.unet_2d import UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
    scheduler = getattr(diffusers, name.replace("Pipeline", "Scheduler"))()
    pipeline = getattr(diffusers, name)(unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    options = {"eta": 1.0} if name == "DDIMPipeline" else {}

    def run(pictures: int | None, lists: bool = False) -> tuple[np.ndarray, int]:
        source = SoftwareSource(3)
        with hardware_noise(source, pictures) as noise:
            generator = [noise.picture_generator(b) for b in range(2)] if lists else torch.Generator()
            images = pipeline(2, generator, num_inference_steps=4, output_type="np", **options).images
            read = sum(s.bits for s in noise.streams if isinstance(s, SoftwareSource))
        return images, read

    state = torch.get_rng_state()
    whole, read = run(None)
    assert read == 2 * 64 * 32 * (5 if name == "DDIMPipeline" else 4)
    assert np.array_equal(whole, run(None)[0])
    sliced = run(2)
    assert sliced[1] == read
    assert np.array_equal(sliced[0], run(2, lists=True)[0])
    assert not np.array_equal(sliced[0], whole)
    assert torch.equal(torch.get_rng_state(), state)
