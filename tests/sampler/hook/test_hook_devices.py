"""Noise for other devices: the processor's numbers, copied; kernels that draw only with dropout."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sampler import SamplerError, SoftwareSource, hardware_noise
from sampler.hook import _bernoulli
from sampler.hook._devices import belongs_to_absent, fill_elsewhere, present_backends
from sampler.hook._operations import RandomOperation, random_operations
from sampler.hook._refusals import drops, has_dropout, undropped
from sampler.hook._registration import kernels_to_replace, replacement

OPERATIONS = {operation.name: operation for operation in random_operations()}
FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"
CHOICE = "aten::_fused_sdp_choice"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_registered_for_one() -> None:
    assert "CUDA" not in present_backends()
    assert not [key for _, key in kernels_to_replace() if key.endswith("CUDA")]


def test_kernels_of_absent_devices_alone_are_left_out() -> None:
    for key in ("CUDA", "SparseCsrCUDA", "NestedTensorCUDA", "MPS"):
        assert belongs_to_absent(key, ("CPU", "XPU"))
        assert not belongs_to_absent(key, ("CPU", "CUDA", "MPS"))
    for key in ("CPU", "NestedTensorCPU", "NestedTensorHPU", "PrivateUse1"):
        assert not belongs_to_absent(key, ("CPU",))


def test_what_goes_elsewhere_is_made_on_the_processor_and_copied() -> None:
    seen = []

    def fill(view: torch.Tensor) -> None:
        seen.append((view.device.type, view.is_contiguous(), view.data_ptr()))
        view.copy_(torch.arange(12.0).view(3, 4))

    # A tensor of the processor stands for one of another device: the way there is the same.
    target = torch.zeros(8, 6, dtype=torch.float16).t()[::2, ::2]
    fill_elsewhere(target, fill)
    assert torch.equal(target, torch.arange(12.0).view(3, 4).half())
    assert seen[0][:2] == ("cpu", True)
    assert seen[0][2] != target.data_ptr()


def test_each_operation_that_has_a_kernel_for_a_gpu_is_served_there_refused_or_drops_nothing() -> None:
    served, refused = set(), set()
    for operation in OPERATIONS.values():
        if has_dropout(operation) and operation.name not in _bernoulli.DROPOUT_KERNELS:
            continue  # its kernel is asked for torch's own, of which this computer may have none
        kernel, with_keyset = replacement(operation, "CUDA")
        assert not with_keyset
        (refused if kernel.__name__ == "refuse" else served).add(operation.name)
    assert served >= {
        *("aten::normal_", "aten::uniform_", "aten::bernoulli_.float", "aten::bernoulli_.Tensor"),
        *("aten::random_", "aten::random_.from", "aten::randperm.generator_out", "aten::exponential_"),
        *("aten::multinomial", "aten::native_dropout", "aten::_fused_dropout", "aten::rrelu_with_noise"),
        *("aten::normal.Tensor_Tensor", "aten::cauchy_", "aten::log_normal_", "aten::geometric_"),
    }
    assert refused >= {"aten::poisson", "aten::_standard_gamma", "aten::_philox_normal_"}


def test_dropout_of_a_device_is_the_processor_s() -> None:
    x = torch.linspace(-1, 1, 500)
    for p in (0.0, 0.25, 1.0):
        with hardware_noise(SoftwareSource(3)):
            plain = torch.native_dropout(x, p, True)
        with hardware_noise(SoftwareSource(3)):
            ours = _bernoulli.native_dropout(x, p, True)
        with hardware_noise(SoftwareSource(3)):
            fused = _bernoulli.fused_dropout(x, 1 - p)
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, plain, strict=True))
        assert torch.equal(fused[0], plain[0])
        assert torch.equal(fused[1], plain[1].to(torch.uint8))
    source = SoftwareSource(3)
    with hardware_noise(source):
        kept, mask = _bernoulli.native_dropout(x, 0.5, False)
    assert torch.equal(kept, x)
    assert bool(mask.all())
    assert source.bits == 0


def test_which_calls_drop_is_read_off_the_operation_s_arguments() -> None:
    rnn = OPERATIONS["aten::_cudnn_rnn"].overload
    before: tuple[Any, ...] = (None, [], 0, None, None, None, 2, 4, 0, 2, False)
    assert drops(rnn, (*before, 0.5, True, False, [], None), {})
    assert not drops(rnn, (*before, 0.5, False, False, [], None), {})
    assert not drops(rnn, (*before, 0.0, True, False, [], None), {})
    attention = OPERATIONS["aten::_scaled_dot_product_efficient_attention"].overload
    assert not drops(attention, (None, None, None, None, True), {})
    assert drops(attention, (None, None, None, None, True, 0.1), {})
    assert drops(attention, (None, None, None, None, True), {"dropout_p": 0.1})
    with_dropout = {name for name, operation in OPERATIONS.items() if has_dropout(operation)}
    assert with_dropout >= {
        *("aten::_flash_attention_forward", "aten::_efficient_attention_forward", "aten::_cudnn_rnn"),
        *("aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_cudnn_attention", CHOICE),
        *("aten::_lstm_mps", "aten::miopen_rnn", "aten::_cudnn_init_dropout_state"),
    }


@contextlib.contextmanager
def registered(operation: RandomOperation, make: Callable[[RandomOperation, str], Any]) -> Iterator[None]:
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is replaced
        name = operation.name.removeprefix("aten::")
        library.impl(name, make(operation, "CPU"), "CPU", with_keyset=True, allow_override=True)
    try:
        yield
    finally:
        library._destroy()


def test_a_kernel_with_dropout_runs_torch_s_own_until_it_would_draw() -> None:
    # The processor's attention stands for a device's: it is replaced in the same way.
    q = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    overload = OPERATIONS[FLASH].overload
    expected = overload(q, q, q, 0.0, True)
    with registered(OPERATIONS[FLASH], undropped):
        got = overload(q, q, q, 0.0, True)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
        with pytest.raises(SamplerError, match="flash_attention"):
            overload(q, q, q, 0.5)
    assert torch.equal(overload(q, q, q, 0.0, True)[0], expected[0])


def test_attention_with_dropout_is_sent_to_the_plain_operations() -> None:
    q = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    overload = OPERATIONS[CHOICE].overload
    plain = overload(q, q, q)
    with registered(OPERATIONS[CHOICE], undropped):
        assert overload(q, q, q) == plain != 0
        assert overload(q, q, q, dropout_p=0.5) == 0
        source = SoftwareSource(3)
        with hardware_noise(source):
            dropped = F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    assert source.bits == 2 * 8 * 8 * 32
    assert not torch.equal(dropped, F.scaled_dot_product_attention(q, q, q))


DRAWS: dict[str, Callable[[str], torch.Tensor]] = {
    "randn": lambda d: torch.randn(3, 5, device=d),
    "randn bfloat16": lambda d: torch.randn(3, 5, device=d, dtype=torch.bfloat16),
    "normal": lambda d: torch.normal(torch.ones(3, 5, device=d), torch.full((3, 5), 2.0, device=d)),
    "rand": lambda d: torch.rand(3, 5, device=d),
    "randint": lambda d: torch.randint(0, 100, (3, 5), device=d),
    "bernoulli": lambda d: torch.bernoulli(torch.full((3, 5), 0.3, device=d)),
    "dropout": lambda d: F.dropout(torch.ones(3, 5, device=d), 0.5),
    "attention": lambda d: F.scaled_dot_product_attention(
        *[torch.ones(3, 2, 8, 8, device=d)] * 3, dropout_p=0.5
    ),
    "exponential_": lambda d: torch.empty(3, 5, device=d).exponential_(),
    "multinomial": lambda d: torch.multinomial(torch.ones(3, 5, device=d), 4),
}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", DRAWS)
def test_a_cuda_device_gets_the_processor_s_numbers(name: str) -> None:
    states = torch.get_rng_state(), torch.cuda.get_rng_state()
    numbers = []
    for device in ("cpu", "cuda"):
        with hardware_noise(SoftwareSource(3), pictures=3):
            numbers.append(DRAWS[name](device))
    assert numbers[1].is_cuda
    assert torch.allclose(numbers[1].cpu(), numbers[0])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(torch.cuda.get_rng_state(), states[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_picture_s_generator_serves_on_a_cuda_device() -> None:
    numbers = []
    for device in ("cpu", "cuda"):
        with hardware_noise(SoftwareSource(3), pictures=3) as noise:
            numbers.append(torch.randn(7, device=device, generator=noise.picture_generator(1)).cpu())
            with pytest.raises(SamplerError, match="poisson"):
                torch.poisson(torch.ones(3, device=device))
    assert torch.equal(numbers[0], numbers[1])
