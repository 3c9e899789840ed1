"""The small classifier of digits whose last hidden layer is the feature space of every comparison."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sampler._errors import SamplerError

SIDE = 28
FEATURES = 64
WEIGHTS = "model.safetensors"
CARD = "card.json"

# The shipped weights define what a "Fréchet distance, digit features" is, so the program holds to one file.
SHA256 = "83a6209e167c77d3960d923c6745fcc1ee86b6b6ceae5b06e7857a5a86ccd797"


class DigitClassifier(nn.Module):
    """(n, 1, 28, 28) float32 in [0, 1] to (n, 64) features and (n, 10) logits.

    The features are the last hidden layer, batch-normalised, before its rectifier: over real digits each has about
    zero mean and unit variance, so a Fréchet distance of 1 is a shift of one feature by one standard deviation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, 20),
            nn.MaxPool2d(2),
            *_block(20, 40),
            nn.MaxPool2d(2),
            *_block(40, 56),
            *_block(56, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 9, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES, affine=False),
        )
        self.last = nn.Linear(FEATURES, 10)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(pictures)
        return features, self.last(torch.relu(features))


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


@dataclass(frozen=True)
class LoadedClassifier:
    """The network, ready to use, the SHA-256 of its weights file, and its card."""

    model: DigitClassifier
    sha256: str
    card: dict[str, Any]


def classifier_folder() -> Path:
    """The folder of the shipped classifier: weights in half precision and a card on how they were made."""
    return Path(str(resources.files("sampler") / "models" / "digit-classifier"))


def load_classifier(folder: Path | None = None, sha256: str | None = SHA256) -> LoadedClassifier:
    """Load a classifier (the shipped one by default); safetensors only, nothing is unpickled.

    Args:
        folder: holds model.safetensors and card.json.
        sha256: what the weights file must hash to; None takes any file that its card describes.

    Raises SamplerError where a file is missing, damaged or another one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = classifier_folder() if folder is None else folder
    try:
        raw = (folder / WEIGHTS).read_bytes()
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SamplerError(
            f"the digit classifier in {folder} cannot be read ({error}): install memtj again"
        ) from error
    digest = hashlib.sha256(raw).hexdigest()
    if digest != (sha256 or card.get("sha256")):
        raise SamplerError(
            f"{folder / WEIGHTS} is not the digit classifier that this memtj measures with (its SHA-256 differs): "
            "install memtj again"
        )
    model = empty_classifier()
    try:
        weights = load(raw)
        model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise SamplerError(f"{folder / WEIGHTS} is not a digit classifier: install memtj again") from error
    missing = set(model.state_dict()) - set(weights) - counters(model)
    if missing:
        raise SamplerError(f"{folder / WEIGHTS} lacks {len(missing)} tensors of the digit classifier")
    model.eval().requires_grad_(False)
    return LoadedClassifier(model, digest, card)


def empty_classifier() -> DigitClassifier:
    """A classifier without weights: on torch's "meta" device, which draws no random numbers for them."""
    with torch.device("meta"):
        return DigitClassifier()


def counters(model: nn.Module) -> set[str]:
    """Names of the batch normalisations' step counters, which are neither stored nor used."""
    return {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
