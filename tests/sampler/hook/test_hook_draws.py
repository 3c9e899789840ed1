"""The noise hook in the calls that programs make: drawn from the source, in every type and layout."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sampler import SamplerError, SoftwareSource, hardware_noise, normals, uniforms

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
    "multinomial": lambda g: torch.multinomial(ones(40), 20, generator=g),
    "multinomial with replacement": lambda g: torch.multinomial(ones(40), 20, replacement=True),
    "multinomial out": lambda g: torch.multinomial(ones(40), 20, out=torch.empty(0, dtype=torch.int64)),
    "exponential_": lambda g: torch.empty(3).exponential_(generator=g),
    "cauchy_": lambda g: torch.empty(3).cauchy_(generator=g),
    "geometric_": lambda g: torch.empty(20).geometric_(0.01, generator=g),
    "log_normal_": lambda g: torch.empty(3).log_normal_(generator=g),
    "rrelu": lambda g: F.rrelu(-ones(3), training=True),
    "rrelu_": lambda g: F.rrelu_(-ones(3), training=True),
    "gumbel_softmax": lambda g: F.gumbel_softmax(ones(8)),
    "fractional pooling": lambda g: F.fractional_max_pool2d(
        torch.arange(400.0).view(1, 1, 20, 20), 2, output_ratio=(0.7, 0.7)
    ),
    "scrambled Sobol numbers": lambda g: torch.quasirandom.SobolEngine(3, scramble=True, seed=5).draw(4),
    "svd_lowrank": lambda g: torch.svd_lowrank(torch.arange(20.0).view(4, 5), q=2)[0],
    "random_split": lambda g: torch.tensor(torch.utils.data.random_split(range(40), [20, 20])[0].indices),
    "orthogonal_": lambda g: torch.nn.init.orthogonal_(torch.empty(4, 4)),
    "sparse_": lambda g: torch.nn.init.sparse_(torch.empty(8, 8), 0.5),
    "kaiming_uniform_": lambda g: torch.nn.init.kaiming_uniform_(torch.empty(4, 4)),
    "attention layer": lambda g: torch.nn.MultiheadAttention(8, 2, dropout=0.5)(
        ones(3, 1, 8), ones(3, 1, 8), ones(3, 1, 8)
    )[0],
}
REFUSED: dict[str, Draw] = {
    "poisson": lambda g: torch.poisson(ones(3)),
    "binomial": lambda g: torch.binomial(ones(3), ones(3) / 2),
    "gamma": lambda g: torch._standard_gamma(ones(3)),
    "dirichlet": lambda g: torch._sample_dirichlet(ones(3)),
    "complex randn": lambda g: torch.randn(3, dtype=torch.complex64),
    "complex uniform": lambda g: torch.rand(3, dtype=torch.complex64),
    "complex integers": lambda g: torch.empty(3, dtype=torch.complex64).random_(),
    "normal numbers of 8 bits": lambda g: torch.empty(3, dtype=torch.float8_e4m3fn).normal_(),
    "truth values, geometric": lambda g: torch.empty(3, dtype=torch.bool).geometric_(0.5),
}


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


LAYOUTS: dict[str, Callable[[torch.dtype], torch.Tensor]] = {
    "transposed": lambda dtype: torch.zeros(6, 4, dtype=dtype).t(),
    "sliced": lambda dtype: torch.zeros(9, 12, dtype=dtype)[1::2, ::2],
    "channels last": lambda dtype: torch.zeros(1, 4, 3, 2, dtype=dtype).to(memory_format=torch.channels_last),
    "unfolded": lambda dtype: torch.zeros(4, 12, dtype=dtype).unfold(1, 6, 6)[:, 0],
}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
IN_PLACE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "normal_": lambda t: t.normal_(1, 2),
    "uniform_": lambda t: t.uniform_(-1, 1),
    "exponential_": lambda t: t.exponential_(2),
    "cauchy_": lambda t: t.cauchy_(),
    "log_normal_": lambda t: t.log_normal_(),
    "geometric_": lambda t: t.geometric_(0.1),
    "bernoulli_": lambda t: t.bernoulli_(0.5),
    "bernoulli_ of tensor": lambda t: t.bernoulli_(torch.full_like(t, 0.5)),
    "random_": lambda t: t.random_(0, 100),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layout_in_memory_changes_no_number(dtype: torch.dtype, switched: Any) -> None:
    for draw in IN_PLACE.values():
        for make in LAYOUTS.values():
            target = make(dtype)
            switched.start(3)
            got = draw(target)
            switched.start(3)
            plain = draw(torch.empty(target.shape, dtype=dtype))
            assert got.data_ptr() == target.data_ptr()
            assert torch.equal(target, plain)


@pytest.mark.parametrize("name", IN_PLACE)
def test_elements_that_share_memory_are_refused_by_torch_s_own_error_before_a_bit_is_read(name: str) -> None:
    target = torch.empty(1, 3).expand(4, 3)
    with pytest.raises(RuntimeError) as torch_s:
        IN_PLACE[name](target)
    for pictures in (None, 4):
        source = SoftwareSource(3)
        with hardware_noise(source, pictures) as noise:
            with pytest.raises(RuntimeError) as ours:
                IN_PLACE[name](target)
            assert sum(getattr(stream, "bits", 0) for stream in noise.streams) == 0
        assert str(ours.value) == str(torch_s.value)


@pytest.mark.parametrize("name", IN_PLACE)
def test_empty_tensors_read_nothing(name: str) -> None:
    source = SoftwareSource(3)
    with hardware_noise(source) as noise:
        assert IN_PLACE[name](torch.empty(0, 3)).shape == (0, 3)
    assert source.bits == noise.draws == 0


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_leaf_that_needs_gradients_is_refused_by_autograd_before_a_bit_is_read(name: str) -> None:
    leaf = torch.ones(4, requires_grad=True)
    source = SoftwareSource(3)
    with hardware_noise(source), pytest.raises(RuntimeError, match="leaf Variable"):
        IN_PLACE[name](leaf)
    assert source.bits == 0
    with hardware_noise(source), torch.no_grad():
        IN_PLACE[name](leaf)
    assert source.bits > 0


MODES: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default device": lambda: torch.device("meta"),
    "deterministic": lambda: torch.random.fork_rng(devices=[]),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_around_it_changes_no_number(mode: str) -> None:
    def draw() -> list[torch.Tensor]:
        mean = torch.zeros(6, device="cpu")
        return [
            torch.randn(6, device="cpu"),
            torch.normal(mean, 2.0),
            torch.bernoulli(mean + 0.5),
            torch.multinomial(mean + 1, 3),
            F.dropout(mean + 1),
            torch.randperm(6, device="cpu"),
            torch.empty(6, device="cpu").exponential_(),
        ]

    with hardware_noise(SoftwareSource(3)):
        plain = draw()
    with hardware_noise(SoftwareSource(3)), MODES[mode]():
        inside = draw()
    assert all(torch.equal(a, b) for a, b in zip(inside, plain, strict=True))


def test_whole_numbers_keep_to_their_type() -> None:
    with hardware_noise(SoftwareSource(3)):
        for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool):
            drawn = torch.empty(2000, dtype=dtype).random_()
            assert int(drawn.min()) >= 0
            assert drawn.unique().numel() > (1 if dtype is torch.bool else 100)
        signed = torch.empty(2000, dtype=torch.int8).random_(-128, 128)
        assert int(signed.min()) < -100
        assert int(signed.max()) > 100
        assert int(torch.empty(2000, dtype=torch.int64).random_(-(2**63), None).min()) < 0
        few = torch.empty(2000, dtype=torch.uint8).geometric_(1e-4)
        assert int(few.max()) == 255
        assert bool((torch.empty(2000, dtype=torch.float16).exponential_(1e7) > 0).all())


def test_an_output_may_be_the_input() -> None:
    p = torch.linspace(0, 1, 50)
    with hardware_noise(SoftwareSource(3)):
        apart = torch.bernoulli(p), torch.normal(p, 1.0), torch.normal(0.0, p)
    with hardware_noise(SoftwareSource(3)):
        q, mean, std = p.clone(), p.clone(), p.clone()
        together = (
            torch.bernoulli(q, out=q),
            torch.normal(mean, 1.0, out=mean),
            torch.normal(0.0, std, out=std),
        )
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))


def test_dropout_trains_under_the_hook() -> None:
    x = ones(1000).requires_grad_()
    with hardware_noise(SoftwareSource(1)):
        y = F.dropout(x, 0.25)
        y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_torch_s_own_complaints_stay() -> None:
    source = SoftwareSource(1)
    with hardware_noise(source):
        for wrong in (
            lambda: torch.empty(2).normal_(0, -1),
            lambda: torch.empty(2).uniform_(2, 1),
            lambda: torch.empty(2).bernoulli_(2.0),
            lambda: torch.bernoulli(torch.full((2,), 2.0)),
            lambda: torch.empty(2).random_(3, 3),
            lambda: torch.randperm(-1),
            lambda: torch.randperm(300, dtype=torch.uint8),
            lambda: torch.empty(2, dtype=torch.uint8).random_(0, 1000),
            lambda: torch.empty(2, dtype=torch.uint8).random_(-1, 10),
            lambda: torch.empty(2).exponential_(0),
            lambda: torch.empty(2).cauchy_(0, 0),
            lambda: torch.empty(2).log_normal_(0, -1),
            lambda: torch.empty(2).geometric_(1.0),
            lambda: torch.multinomial(torch.zeros(3), 1),
            lambda: torch.multinomial(torch.tensor([1.0, -1.0]), 1),
            lambda: torch.multinomial(torch.tensor([1.0, float("inf")]), 1),
            lambda: torch.multinomial(torch.ones(3), 4),
            lambda: torch.multinomial(torch.ones(3), 0),
            lambda: torch.multinomial(torch.ones(1, 1, 3), 1),
            lambda: torch.multinomial(torch.ones(3, dtype=torch.int64), 1),
            lambda: torch.multinomial(torch.ones(3), 1, out=torch.empty(1)),
            lambda: torch.multinomial(torch.tensor([1.0, 0.0, 0.0]), 2),
            lambda: torch.bernoulli(torch.ones(3, dtype=torch.int64)),
            lambda: torch.bernoulli(torch.tensor([0.5, float("nan")])),
            lambda: torch.empty(2).bernoulli_(torch.ones(3)),
            lambda: torch.normal(torch.zeros(2), torch.tensor([1.0, -1.0])),
            lambda: torch.normal(torch.zeros(2), torch.tensor([1.0, float("nan")])),
            lambda: torch.empty(2, dtype=torch.float16).uniform_(0, 1e5),
        ):
            with pytest.raises(RuntimeError):
                wrong()
        assert torch.randn(0, 3).shape == (0, 3)
    assert source.bits == 0
