"""A plain PyTorch training loop under hardware_noise: all that is random in it comes from the source."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sampler import SamplerError, SoftwareSource, hardware_noise

SAMPLES, BATCH, EPOCHS, HIDDEN = 50, 16, 3, 12
X = torch.linspace(-1, 1, SAMPLES * 4).view(SAMPLES, 4).sin()
Y = X.sum(1, keepdim=True)

pytestmark = pytest.mark.usefixtures("one_thread")


class Watched(nn.Module):
    """An MLP with dropout that keeps what it was shown and which hidden numbers it dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, HIDDEN), nn.Linear(HIDDEN, 1)
        self.dropout = nn.Dropout(0.5)
        self.shown: list[torch.Tensor] = []
        self.dropped: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(self.first(x).sigmoid())
        self.shown.append(x)
        self.dropped.append(hidden.detach() == 0)
        return self.last(hidden)


def train(workers: int = 0) -> Watched:
    model = Watched()
    loader = DataLoader(TensorDataset(X, Y), batch_size=BATCH, shuffle=True, num_workers=workers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
    return model


def everything(model: Watched) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.shown
    yield from model.dropped


def same(a: Watched, b: Watched) -> bool:
    return all(torch.equal(p, q) for p, q in zip(everything(a), everything(b), strict=True))


def test_weights_order_and_dropout_come_from_the_source_alone() -> None:
    state = torch.get_rng_state()
    trained, bits = [], []
    for seed, software in ((1, 10), (1, 20), (2, 20)):
        with torch.random.fork_rng():
            torch.manual_seed(software)  # makes no difference inside
            source = SoftwareSource(seed)
            with hardware_noise(source):
                trained.append(train())
            bits.append(source.bits)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(trained[0], trained[1])
    first, other = trained[0], trained[2]
    assert not torch.equal(first.shown[0], other.shown[0])
    assert not torch.equal(first.dropped[0], other.dropped[0])
    assert not torch.equal(first.first.weight, other.first.weight)
    assert bits[0] == bits[1]


def test_the_bits_are_those_of_weights_seeds_shuffles_and_dropout() -> None:
    source = SoftwareSource(1)
    with hardware_noise(source):
        model = train()
    weights = sum(p.numel() for p in model.parameters())
    dropout = EPOCHS * SAMPLES * HIDDEN
    # An epoch: a seed for the workers and one for the order (64 bits each), the order itself, and another one that
    # torch's RandomSampler draws and leaves. An order takes a word a place (the seed's bits reject none).
    shuffles = EPOCHS * (64 + 64 + 2 * 32 * (SAMPLES - 1))
    assert source.bits == 32 * (weights + dropout) + shuffles
    assert torch.equal(torch.cat(model.shown[:4]).sort(0).values, X.sort(0).values)


def test_with_a_worker_it_is_reproducible_too() -> None:
    trained = []
    for _ in range(2):
        with hardware_noise(SoftwareSource(1)):
            trained.append(train(workers=1))
    assert same(*trained)


class RandomCrops(TensorDataset):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return tuple(x + torch.randn(1) for x in super().__getitem__(index))


@pytest.mark.skipif(torch.multiprocessing.get_start_method(allow_none=False) != "fork", reason="no fork here")
def test_a_worker_that_draws_is_refused(failing_workers: None) -> None:
    with hardware_noise(SoftwareSource(1)), pytest.raises(SamplerError, match="forked child"):
        list(DataLoader(RandomCrops(X, Y), num_workers=1))
