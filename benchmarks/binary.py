"""What pictures of bits cost and are like, beside the Gaussian process with the same network and training.

`python -m benchmarks.binary BINARY GAUSSIAN [--pictures N] [--json FILE]`, with two checkpoints of the same
network and training, 35 minutes each for what the process can do:

    memtj train BINARY --process binary --seed 1
    memtj train GAUSSIAN --seed 1

Bits of noise a picture; pulses a pixel of a device that flips what is stored, and of one that writes anew (it resets
the cells that read AP, here 1, before each write); the project's Fréchet distance to real digits in black and white.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sampler import Checkpoint, SampleSettings, SoftwareSource, bill, load_checkpoint, pixels, sample
from sampler.comparison import (
    Reference,
    as_bits,
    bootstrap_key,
    digit_features,
    digit_reference,
    evaluate,
    real_digits,
)
from sampler.processes import BinaryProcess, Bits, Probabilities, StreamDraws, grow

GAUSSIAN_STEPS, FLOOR, AT_A_TIME = 100, 0.01, 64


class CountedDraws(StreamDraws):
    """Draws as a device makes them, counted: pulses, resets of cells that read 1, and pulses of P = 0 among them."""

    pulses = resets = idle = 0

    def draw(self, p: Probabilities) -> Bits:
        """Reset what reads 1, then one pulse a cell."""
        self.resets += int(self._stored.sum())
        self.pulses += p.size
        self.idle += int((p == 0).sum())
        return super().draw(p)

    def flip(self, p: Probabilities) -> Bits:
        """One pulse of each cell whose flip is not left out."""
        self.pulses += int((p > 0).sum())
        return super().flip(p)


def grown(
    network: Checkpoint, labels: np.ndarray, *, writes: bool, floor: float
) -> tuple[np.ndarray, dict[str, float]]:
    """Draw pictures of bits; gives them, and what each took."""
    process, shape = BinaryProcess.from_config(network.card["scheduler"]), network.pictures.shape
    images, counted = [], dict.fromkeys(("bits", "pulses", "resets", "idle"), 0)
    for at in range(0, len(labels), AT_A_TIME):
        own = torch.from_numpy(labels[at : at + AT_A_TIME])
        sources = [SoftwareSource(1, 1 + at + i) for i in range(len(own))]
        draws = CountedDraws(sources)

        def ask(x: Bits, t: int, own: torch.Tensor = own) -> Probabilities:
            with torch.no_grad():
                seen = torch.from_numpy(x).float() * 2 - 1
                return torch.sigmoid(network.model(seen, t - 1, class_labels=own).sample.double()).numpy()

        *_, last = grow(process, ask, draws, (len(own), *shape), writes=writes, floor=floor)
        images.append(last.x[:, 0] * np.uint8(255))
        counted["bits"] += sum(source.bits for source in sources)
        for name in ("pulses", "resets", "idle"):
            counted[name] += getattr(draws, name)
    each = {name: value / len(labels) for name, value in counted.items()}
    return np.concatenate(images), each


def distance(images: np.ndarray, labels: np.ndarray, reference: Reference) -> list[float]:
    """The Fréchet distance of so many pictures, and its interval of 95 % about the value without their bias."""
    found = evaluate(digit_features()(images), labels, reference, bootstrap_key("benchmark", len(images)))
    interval = found.frechet_interval
    return [found.frechet, interval.value, interval.low, interval.high]


def measure(binary: Checkpoint, gaussian: Checkpoint, count: int) -> dict[str, Any]:
    """Draw and measure everything."""
    labels = np.arange(count) % 10
    reference, size = digit_reference(digit_features(), bits=True), binary.pictures.numbers
    ways = {
        "flip": {"writes": False, "floor": FLOOR},
        "write": {"writes": True, "floor": FLOOR},
        "flip, no floor": {"writes": False, "floor": 0.0},
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        images, each = grown(binary, labels, **way)
        per_pixel = {name: each[name] / size for name in ("pulses", "resets", "idle")}
        found[name] = {
            "bits": each["bits"],
            **per_pixel,
            "distance": distance(images, labels, reference),
        }
    settings = SampleSettings(gaussian.scheduler, GAUSSIAN_STEPS, microbatch=AT_A_TIME)
    drawn = sample(gaussian, labels.tolist(), SoftwareSource(1), settings).pictures
    images = as_bits(np.stack([pixels(picture) for picture in drawn]))
    normals = bill(gaussian, settings, 1)
    found["gaussian"] = {"bits": normals.bits_each, "distance": distance(images, labels, reference)}
    real, theirs = real_digits()
    some = np.random.default_rng(1).permutation(len(real))[:count]
    found["real"] = {"distance": distance(as_bits(real[some]), theirs[some], reference)}
    most = bill(binary, SampleSettings("bernoulli", binary.default_steps), 1).bits_each
    flip, write = found["flip"], found["write"]
    found["ratios"] = {
        "bits of 32-bit normals to most bits": normals.bits_each / most,
        "bits of 32-bit normals to bits read": normals.bits_each / found["flip, no floor"]["bits"],
        "bits of 1-bit normals to bits read": normals.bits_each / 32 / found["flip, no floor"]["bits"],
        "pulses, write to flip": (write["pulses"] + write["resets"]) / flip["pulses"],
        "pulses, write without those of P = 0 to flip": (write["pulses"] - write["idle"] + write["resets"])
        / flip["pulses"],
        "distance, binary to gaussian": found["flip, no floor"]["distance"][1]
        / found["gaussian"]["distance"][1],
    }
    return found


def main() -> None:
    """Print what was measured, a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("gaussian", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    binary, gaussian = load_checkpoint(arguments.binary), load_checkpoint(arguments.gaussian)
    found = measure(binary, gaussian, arguments.pictures)
    found["training"] = [network.card["training"] for network in (binary, gaussian)]
    for name, values in found.items():
        print(name, json.dumps(values))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
