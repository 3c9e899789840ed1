"""Every operation that this torch tags as random, walked over: it draws from the source, or raises."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from sampler import SamplerError, SoftwareSource, hardware_noise
from sampler.hook._operations import RandomOperation, random_operations
from sampler.hook._registration import kernels_to_replace, leaves

N = 64  # so many numbers that two sources agree in one of two values each by chance: 2⁻⁶⁴

REFUSED = {
    *("aten::poisson", "aten::poisson.out", "aten::binomial", "aten::binomial.out"),
    *("aten::_standard_gamma", "aten::_standard_gamma.out"),
    *("aten::_sample_dirichlet", "aten::_sample_dirichlet.out"),
    *("aten::_philox_normal_", "aten::_philox_uniform_", "rngprims::philox_rand"),
}
# Kernels for other devices alone: torch itself says that the processor has none.
OF_OTHER_DEVICES = {
    *("aten::_cudnn_attention_backward", "aten::_cudnn_attention_forward"),
    *("aten::_cudnn_init_dropout_state", "aten::_cudnn_init_dropout_state.out"),
    *("aten::_cudnn_rnn", "aten::_cudnn_rnn.out", "aten::miopen_rnn", "aten::miopen_rnn.out"),
    *("aten::_lstm_mps", "aten::_lstm_mps.out", "aten::_fill_mem_eff_dropout_mask_"),
    *("aten::_efficient_attention_forward", "aten::_flash_attention_forward"),
    *("aten::_flash_attention_forward.quantized", "aten::_flash_attention_forward_no_dropout_inplace"),
    *("aten::_fused_dropout", "aten::_fused_dropout.out"),
    *("aten::_scaled_dot_product_attention_math_for_mps", "aten::_scaled_dot_product_cudnn_attention"),
    "aten::_scaled_dot_product_cudnn_attention_backward",
    *("aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_flash_attention"),
    "aten::_scaled_dot_product_efficient_attention_backward",
    *("aten::_scaled_dot_product_flash_attention.quantized", "aten::_triton_scaled_dot_attention.out"),
    *("aten::_scaled_dot_product_fused_attention_overrideable", "aten::_triton_scaled_dot_attention"),
}
# The choice of an attention kernel, an attention kernel that takes no dropout, a softmax, and where in a
# device's own sequence compiled code would begin.
DRAW_NOTHING = {
    *("aten::_fused_sdp_choice", "aten::_scaled_dot_product_flash_attention_for_cpu"),
    *("aten::_nested_tensor_softmax_with_shape", "prims::inductor_rand_eager_offset"),
    "prims::inductor_rand_eager_offsets",
}

# Of compiled code: torch has them once it has compiled something, which takes seconds to load.
OF_COMPILED_CODE = {
    *("prims::inductor_seed", "prims::inductor_seeds"),
    *("prims::inductor_rand_eager_offset", "prims::inductor_rand_eager_offsets"),
}
NAMES = {operation.name for operation in random_operations()} | OF_COMPILED_CODE

Operations = dict[str, RandomOperation]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def halves(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.5)


def _recurrent(cell: str, packed: bool) -> Arguments:
    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    weights = [halves(4 * gates, 4), halves(4 * gates, 4)] * 2
    state = halves(2, 8, 4)
    states: Any = [state, state] if cell == "lstm" else state
    # two layers without biases, dropout between them, in training
    options = (False, 2, 0.5, True, False)
    if packed:
        return (halves(24, 4), torch.tensor([8, 8, 8]), states, weights, *options), {}
    return (halves(3, 8, 4), states, weights, *options, False), {}


def _attention(**options: Any) -> Arguments:
    return (halves(1, 2, 8, 8), halves(1, 2, 8, 8), halves(1, 2, 8, 8)), options


def _seeded(*args: Any, **kwargs: Any) -> Arguments:
    return args, kwargs


FITTING: dict[str, Callable[[], Arguments]] = {
    "aten::multinomial": lambda: _seeded(torch.ones(N), N // 2),
    "aten::multinomial.out": lambda: _seeded(
        torch.ones(N), N // 2, True, out=torch.empty(0, dtype=torch.int64)
    ),
    "aten::scaled_dot_product_attention": lambda: _attention(dropout_p=0.5),
    "aten::_scaled_dot_product_attention_math": lambda: _attention(dropout_p=0.5),
    "aten::_fused_sdp_choice": lambda: _attention(dropout_p=0.5),
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_nested_tensor_softmax_with_shape": lambda: _seeded(
        halves(1, 2, 3, 3), torch.nested.nested_tensor([halves(3, 8)])
    ),
    "aten::binomial": lambda: _seeded(torch.ones(N), halves(N)),
    "aten::binomial.out": lambda: _seeded(torch.ones(N), halves(N), out=halves(0)),
    "aten::feature_dropout_": lambda: _seeded(halves(8, N, 2), 0.5, True),
    "aten::feature_alpha_dropout_": lambda: _seeded(halves(8, N, 2), 0.5, True),
    "aten::feature_dropout": lambda: _seeded(halves(8, N, 2), 0.5, True),
    "aten::feature_alpha_dropout": lambda: _seeded(halves(8, N, 2), 0.5, True),
    "aten::normal.float_float": lambda: _seeded(0.0, 1.0, [N]),
    "aten::normal.float_float_out": lambda: _seeded(0.0, 1.0, [N], out=halves(0)),
    "aten::native_dropout.out": lambda: _seeded(
        halves(N), 0.5, True, out0=halves(0), out1=torch.empty(0, dtype=torch.bool)
    ),
    "aten::_philox_normal_": lambda: _seeded(halves(N), torch.zeros(2, dtype=torch.uint64)),
    "aten::_philox_uniform_": lambda: _seeded(halves(N), torch.zeros(2, dtype=torch.uint64)),
    "rngprims::philox_rand": lambda: _seeded(
        [N], torch.tensor(1), torch.tensor(0), None, torch.device("cpu"), torch.float32
    ),
    "prims::normal": lambda: _seeded(
        [N], mean=0, std=1, dtype=torch.float32, device=torch.device("cpu"), requires_grad=False
    ),
    "prims::uniform": lambda: _seeded(
        [N], low=0, high=1, dtype=torch.float32, device=torch.device("cpu"), stride=[1]
    ),
    "prims::inductor_seed": lambda: _seeded(torch.device("cpu")),
    "prims::inductor_seeds": lambda: _seeded(2, torch.device("cpu")),
    "prims::inductor_rand_eager_offset": lambda: _seeded(1, torch.device("cpu")),
    "prims::inductor_rand_eager_offsets": lambda: _seeded([1], torch.device("cpu")),
    **{
        f"aten::{cell}.{kind}": lambda cell=cell, kind=kind: _recurrent(cell, kind == "data")
        for cell in ("lstm", "gru", "rnn_relu", "rnn_tanh")
        for kind in ("input", "data")
    },
    **{f"aten::{name}": lambda: _seeded(-halves(N), training=True) for name in ("rrelu", "rrelu_")},
    **{
        f"aten::{name}": lambda: _seeded(-halves(N), halves(N), training=True)
        for name in ("rrelu_with_noise", "rrelu_with_noise_", "rrelu_with_noise_functional")
    },
    "aten::rrelu_with_noise.out": lambda: _seeded(-halves(N), halves(N), training=True, out=halves(0)),
}


def fitting_arguments(operation: RandomOperation) -> Arguments:
    """Make arguments that let the operation draw N numbers or more, from its schema where that is plain."""
    if operation.name in FITTING:
        return FITTING[operation.name]()
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for argument in operation.overload._schema.arguments:
        if argument.name == "out":
            whole = "randperm" in operation.name
            kwargs["out"] = torch.empty(0, dtype=torch.int64 if whole else torch.float32)
        elif argument.name == "generator":
            kwargs["generator"] = torch.Generator().manual_seed(1)
        elif not argument.has_default_value() and argument.kwarg_only:
            kwargs[argument.name] = None
        elif not argument.has_default_value():
            args.append(_of_type(argument.name, str(argument.type)))
    return tuple(args), kwargs


def _of_type(name: str, kind: str) -> Any:
    match kind:
        case "Tensor":
            return torch.tensor(1 << 20) if name in ("high", "seed") else halves(N)
        case "List[int]" | "List[SymInt]":
            return [N]
        case "int" | "SymInt":
            return {"low": 0, "from": 0}.get(name, 1 << 20 if name in ("high", "to") else N)
        case "Optional[int]":
            return 1 << 20
        case "float" | "number":
            return 0.5
        case "bool" | "Optional[bool]":
            return True
        case "str":
            return "rand"
    raise NotImplementedError(f"say in FITTING what {name}: {kind} is")


def call(operation: RandomOperation, source: Any, seed: int) -> tuple[list[Any], int]:
    """Give the results of a call whose source starts at this seed, and the bits that it read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of prototypes and of outputs that are resized
        args, kwargs = fitting_arguments(operation)
        source.start(seed)
        return tree_leaves(operation.overload(*args, **kwargs)), source.bits


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b, strict=True)
    )


@pytest.fixture(scope="module")
def operations() -> Operations:
    """Every one that torch has, those of compiled code among them."""
    importlib.import_module("torch._inductor.inductor_prims")
    return {operation.name: operation for operation in random_operations()}


def test_the_walk_finds_what_torch_has(operations: Operations) -> None:
    assert len(operations) > 150
    for name in ("aten::normal_", "aten::rand.generator_out", "aten::lstm.data", "prims::uniform"):
        assert name in operations
    assert operations.keys() == NAMES >= REFUSED | OF_OTHER_DEVICES | DRAW_NOTHING


@pytest.mark.parametrize("name", sorted(NAMES - REFUSED - OF_OTHER_DEVICES - DRAW_NOTHING))
def test_it_draws_from_the_source_alone(name: str, operations: Operations, switched: Any) -> None:
    state = torch.get_rng_state()
    first, bits = call(operations[name], switched, 3)
    again, bits_again = call(operations[name], switched, 3)
    other, _ = call(operations[name], switched, 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert bits == bits_again >= 64
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused_by_name(name: str, operations: Operations) -> None:
    state = torch.get_rng_state()
    source = SoftwareSource(3)
    args, kwargs = fitting_arguments(operations[name])
    with hardware_noise(source), pytest.raises(SamplerError, match=name.removesuffix(".out")):
        operations[name].overload(*args, **kwargs)
    assert source.bits == 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", sorted(OF_OTHER_DEVICES))
def test_the_processor_has_no_kernel_of_it(name: str, operations: Operations) -> None:
    keys = operations[name].keys
    assert not any(key.endswith("CPU") for key in keys)
    # An out variant ends in the plain one, which has none either; a call says so, and moves no generator.
    state = torch.get_rng_state()
    with hardware_noise(SoftwareSource(3)), pytest.raises((NotImplementedError, RuntimeError, TypeError)):
        operations[name].overload(*_nothing_fits(operations[name]))
    assert torch.equal(torch.get_rng_state(), state)


def _nothing_fits(operation: RandomOperation) -> list[Any]:
    plain = [a for a in operation.overload._schema.arguments if not a.kwarg_only]
    return [halves(1, 2, 8, 8) if str(a.type) == "Tensor" else None for a in plain]


@pytest.mark.parametrize("name", sorted(DRAW_NOTHING))
def test_it_draws_nothing(name: str, operations: Operations, switched: Any) -> None:
    state = torch.get_rng_state()
    results, bits = call(operations[name], switched, 3)
    assert results
    assert bits == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_every_kernel_of_the_processor_is_replaced_or_left_for_a_reason(
    operations: Operations,
) -> None:
    replaced = set(kernels_to_replace())
    for operation in operations.values():
        for key in operation.keys:
            if key.endswith("CPU"):
                assert ((operation, key) in replaced) != leaves(operation.name, key)


def test_untagged_operations_that_take_a_generator_are_none_of_the_processor_s(
    operations: Operations,
) -> None:
    taking = set()
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = name.partition("::")
        packet, _, overload = rest.partition(".")
        operation = getattr(getattr(getattr(torch.ops, namespace), packet, None), overload or "default", None)
        if operation is None or name in operations:
            continue
        if any("Generator" in str(argument.type) for argument in operation._schema.arguments):
            taking.add(name)
    # This one moves the place of a CUDA generator, for compiled code.
    assert taking <= {"inductor_prims::inductor_reserve_rng_state"}
