"""What the hook costs everything else: nothing stands between an operation that is not random and its kernel."""

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from sampler import SoftwareSource, hardware_noise


def test_nothing_stands_before_the_kernels_of_other_operations() -> None:
    """No mode is on, and their kernels are torch's own (`python -m benchmarks.hook_cost` measures the rest)."""
    names = ["aten::convolution", "aten::silu", "aten::addmm", "aten::copy_"]
    before = [torch._C._dispatch_dump(name) for name in names]
    random = torch._C._dispatch_dump("aten::normal_")
    with hardware_noise(SoftwareSource(1)):
        assert _get_current_dispatch_mode_stack() == []
        assert _get_current_function_mode_stack() == []
        assert [torch._C._dispatch_dump(name) for name in names] == before
        assert torch._C._dispatch_dump("aten::normal_") != random, "while a random operation's is replaced"
    assert torch._C._dispatch_dump("aten::normal_") == random
