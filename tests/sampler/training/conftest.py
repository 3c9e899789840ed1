"""A training of some seconds: a small network and forty small pictures."""

from pathlib import Path

import numpy as np
import pytest

from sampler import Architecture, DataSet, TrainSettings, load_data

TINY = Architecture(image_size=8, widths=(8, 16), norm_groups=4, attention_head=8, labels=3)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Forty pictures of three labels."""
    drawn = np.random.default_rng(5)
    path = tmp_path / "some.npz"
    np.savez(path, images=drawn.integers(0, 256, (40, 8, 8), np.uint8), labels=np.arange(40) % 3)
    return path


@pytest.fixture
def data(npz: Path) -> DataSet:
    return load_data(npz)


@pytest.fixture
def settings(tmp_path: Path) -> TrainSettings:
    """Ten steps of eight pictures are two epochs; a state every four steps."""
    return TrainSettings(
        out=tmp_path / "out", steps=10, batch=8, seed=3, checkpoint_every=4, architecture=TINY
    )
