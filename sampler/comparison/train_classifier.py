"""Train the digit classifier and write it where the program looks for it.

    python -m sampler.comparison.train_classifier [--out FOLDER] [--seed N] [--epochs N]

The weights that ship are pinned by their SHA-256 in `_classifier.py`: another training makes another feature space,
whose distances must not be put beside the old ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch

from entropy.arguments import Count, takes
from sampler._digits import ATTRIBUTION, load_digits
from sampler.comparison._classifier import CARD, WEIGHTS, DigitClassifier, classifier_folder, counters
from sampler.comparison._splits import digit_parts

SEED = 20
EPOCHS = 30
BATCH = 64
PEAK_RATE = 4e-3
AUGMENTATION = "rotation ±12°, scale 0.88–1.12, shear ±0.12, shift ±2 pixels; label smoothing 0.05"


@takes(seed=Count(), epochs=Count(1))
def train_classifier(
    folder: Path, seed: int = SEED, epochs: int = EPOCHS, told: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train on the 8,000 training digits, write weights (half precision) and card to `folder`; return the card.

    torch's own generator is used and left as it was; the same seed, torch version and thread count give the same
    weights.
    """
    digits = load_digits()
    parts = digit_parts(digits)
    images = torch.from_numpy(digits.images).float().div(255).unsqueeze(1)
    labels = torch.from_numpy(digits.labels).long()
    training = torch.from_numpy(parts.classifier_training)
    started = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _fit(images[training], labels[training], epochs, told)
    half = {k: v.half().contiguous() for k, v in model.state_dict().items() if k not in counters(model)}
    model.load_state_dict({k: v.float() for k, v in half.items()}, strict=False)
    test = torch.from_numpy(parts.classifier_test)
    card = {
        "name": "digit classifier",
        "data": {"name": ATTRIBUTION, "sha256": digits.sha256},
        "split": "test: every fifth picture (index 4, 9, 14 …), 2,000; training: the other 8,000",
        "accuracy": {
            "test": _accuracy(model, images[test], labels[test]),
            "training": _accuracy(model, images[training], labels[training]),
        },
        "features": "64: last hidden layer, batch-normalised, before the rectifier",
        "parameters": sum(p.numel() for p in model.parameters()),
        "training": {
            "seed": seed,
            "epochs": epochs,
            "batch": BATCH,
            "peak_rate": PEAK_RATE,
            "augmentation": AUGMENTATION,
            "seconds": round(time.monotonic() - started, 1),
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return _write(folder, half, card)


def _fit(
    images: torch.Tensor, labels: torch.Tensor, epochs: int, told: Callable[[str], None]
) -> DigitClassifier:
    model = DigitClassifier()
    optimiser = torch.optim.AdamW(model.parameters(), PEAK_RATE, weight_decay=0.02)
    steps = epochs * (len(labels) // BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps, pct_start=0.2)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(labels))[: len(labels) // BATCH * BATCH]
        for batch in order.split(BATCH):
            _, logits = model(_augment(images[batch]))
            loss = loss_of(logits, labels[batch])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            rate.step()
            total += float(loss.detach())
        told(f"epoch {epoch + 1}/{epochs}: loss {total / (len(order) // BATCH):.4f}")
    return model.eval()


def _augment(pictures: torch.Tensor) -> torch.Tensor:
    n = len(pictures)
    angle = (torch.rand(n) * 2 - 1) * (12 * torch.pi / 180)
    scale = 0.88 + 0.24 * torch.rand(n)
    shear = (torch.rand(n) * 2 - 1) * 0.12
    shift = (torch.rand(n, 2) * 2 - 1) * (2 / 14)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = torch.stack([cos, -sin + shear, shift[:, 0], sin, cos, shift[:, 1]], dim=1)
    grid = torch.nn.functional.affine_grid(rows.view(n, 2, 3), list(pictures.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pictures, grid, align_corners=False)


@torch.no_grad()
def _accuracy(model: DigitClassifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    right = sum(
        int((model(x)[1].argmax(1) == y).sum())
        for x, y in zip(images.split(500), labels.split(500), strict=True)
    )
    return right / len(labels)


def _write(folder: Path, weights: dict[str, torch.Tensor], card: dict[str, Any]) -> dict[str, Any]:
    from safetensors.torch import save

    raw = save(weights)
    full = {**card, "sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(raw)
    (folder / CARD).write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return full


def main() -> None:
    """Train, write, and say what came out."""
    parser = argparse.ArgumentParser(description="Train the digit classifier.")
    parser.add_argument("--out", type=Path, default=classifier_folder())
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()
    card = train_classifier(given.out, given.seed, given.epochs)
    print(f"accuracy {card['accuracy']['test']:.2%} on the 2,000 test digits; SHA-256 {card['sha256']}")


if __name__ == "__main__":
    main()
