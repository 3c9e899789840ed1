"""How many pictures at a time fit into the memory."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from entropy.arguments import Count, takes
from sampler._errors import SamplerError

if TYPE_CHECKING:
    from sampler._checkpoint import Checkpoint

_LARGEST = 64  # pictures: on a processor more at a time are not faster
_SHARE = 0.5  # of the memory that is available
# The kernels' own working memory (reordered weights, columns of a convolution) is not seen by the measurement.
_MARGIN = 2.0


@takes(pictures=Count(), available=Count())
def fitting_microbatch(checkpoint: Checkpoint, pictures: int, available: int | None = None) -> int:
    """The largest microbatch, up to 64 and to the number of pictures, that half of the available memory holds.

    What a picture needs is measured: the network is run once without numbers (torch's "meta" device), and the most
    bytes of tensors alive at once are counted; twice that is set aside. `available`: bytes, by default what the
    operating system says is available. Raises SamplerError where not even one picture fits.
    """
    import psutil

    free = psutil.virtual_memory().available if available is None else available
    each = _MARGIN * forward_bytes(checkpoint)
    fits = int(_SHARE * free / each)
    if fits < 1:
        raise SamplerError(
            f"one picture of {checkpoint.path} needs about {each / 1e9:.2g} GB and {free / 1e9:.2g} GB of memory are "
            "available: close other programs, or insist by --microbatch 1"
        )
    return max(1, min(fits, _LARGEST, pictures))


def forward_bytes(checkpoint: Checkpoint) -> int:
    """The most bytes of tensors, besides the weights, alive at once while the network looks at one picture."""
    kind = checkpoint.pictures
    with torch.device("meta"):
        network: Any = type(checkpoint.model).from_config(checkpoint.model.config)
        x = torch.empty(1, *kind.shape)
        labels = None if kind.labels is None else torch.empty(1, dtype=torch.long)
        t = torch.empty(1)
    counter = _Alive()
    with torch.no_grad(), counter:
        network.eval()(x, t, class_labels=labels)
    # x, the network's answer and what the scheduler makes of them.
    return counter.peak + 4 * x.nbytes


class _Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that operations made and that are still in use."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            one.untyped_storage()._cdata
            for one in tree_leaves((args, kwargs))
            if isinstance(one, torch.Tensor)
        }
        out = func(*args, **(kwargs or {}))
        for one in tree_leaves(out):
            if isinstance(one, torch.Tensor):
                storage = one.untyped_storage()
                if storage._cdata not in given and storage._cdata not in self._known:
                    self._enter(storage, one.nbytes)
        return out

    def _enter(self, storage: torch.UntypedStorage, size: int) -> None:
        address = storage._cdata
        self._known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._leave, address, size)

    def _leave(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size
