"""A small untrained network, and stores of real random bits."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from entropy import Store
from entropy.testing import random_blocks, record_blocks
from sampler import (
    Architecture,
    Checkpoint,
    build_model,
    load_checkpoint,
    save_checkpoint,
    training_scheduler,
)

TINY = Architecture(image_size=8, widths=(8, 16), norm_groups=4, attention_head=8)
CELLS = 4096


def save_untrained(folder: Path, size: Architecture) -> Path:
    """Save a network of random weights, the same ones each time: its pictures follow its noise and nothing else."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        weights = build_model(size).state_dict()
    scheduler = {k: v for k, v in training_scheduler().config.items() if not k.startswith("_")}
    save_checkpoint(folder, weights, size, {"scheduler": scheduler, "data": "none: random weights"})
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(save_untrained(tmp_path_factory.mktemp("checkpoints") / "tiny", TINY))


@pytest.fixture
def failing_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch waits 5 s for a DataLoader's worker that failed, whenever its iterator is collected: here, and shortly."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    yield
    gc.collect()


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[int], Store]:
    """Make a store that holds at least so many bits of the operating system, in blocks of whole pulses."""

    def make(bits: int) -> Store:
        store = Store(tmp_path / "store")
        pulses = 64
        record_blocks(store, random_blocks(-(-bits // (CELLS * pulses)), CELLS * pulses // 8), cells=CELLS)
        stores.append(store)
        return store

    stores: list[Store] = []
    yield make
    for store in stores:
        store.close()
