"""The arms of the study that software draws: as they are, and through cells with which something is wrong.

`python docs/studies/in-array/study.py BINARY --out FOLDER --calibration C=FILE --calibration D=FILE [ARM ...]` draws
the arms that are not there yet, one file each; called again it goes on, called twice at once it uses two processors.
`score.py` measures them.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from instruments import DrawCalibration
from instruments.array import DrawDrift
from instruments.bench import DacScale
from memtj.growing import place
from sampler import Checkpoint, SoftwareSource, load_checkpoint
from sampler.comparison import bootstrap_key
from sampler.processes import BinaryProcess, Bits, Probabilities, StreamDraws, grow

KEY = 18_112_026
STEPS, FLOOR = 64, 0.01
MANY, FEW = 1000, 300
SIDE, LOT = 128, 20  # cells of a side of the array, and the pictures that it holds at a time
BASELINE = ("software 1", "software 2", "software 3")


class Cells:
    """Cells that do as they are asked: what is wrong with others is said by their classes. Arrays are (cells,)."""

    def reached(self, p: np.ndarray, seen: np.ndarray, stored: np.ndarray) -> np.ndarray:
        """Give the probability with which a cell flips where `p` is asked for, by the state that was read."""
        return p

    def stored(self, stored: np.ndarray) -> np.ndarray:
        """Give what the cells hold after a pulse."""
        return stored

    def read(self, stored: np.ndarray) -> np.ndarray:
        """Give what is read."""
        return stored

    def take(self, flipped: np.ndarray, drawn: np.ndarray, seen: np.ndarray) -> None:
        """Be told what a draw came to, as it is read."""


@dataclass
class Off(Cells):
    """P is off by `error`, (cells,) or one for all, where there is a pulse."""

    error: np.ndarray | float

    def reached(self, p: np.ndarray, seen: np.ndarray, stored: np.ndarray) -> np.ndarray:
        return np.clip(p + self.error, 0, 1)


@dataclass
class Stuck(Cells):
    """Cells that read `value` whatever they are asked for."""

    where: np.ndarray
    value: np.ndarray | bool

    def stored(self, stored: np.ndarray) -> np.ndarray:
        return np.where(self.where, self.value, stored)


@dataclass
class Misread(Cells):
    """Each reading of a cell is wrong with probability `share`; what is stored is not."""

    share: float
    dice: np.random.Generator

    def read(self, stored: np.ndarray) -> np.ndarray:
        return stored ^ (self.dice.random(len(stored)) < self.share)


@dataclass
class Codes(Cells):
    """Volts of a calibration's law, as codes of `bits`; critical voltages go by `drift` until draw `draws`.

    The law is taken for the truth, so what is lost is by codes and drift alone. `followed`: by `DrawDrift`.
    """

    calibration: DrawCalibration
    bits: int = 8
    drift: float = 0.0
    draws: int = 1
    followed: bool = False
    done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        law, known = self.calibration.law, self.calibration.conditions
        self.law = DrawDrift(law) if self.followed else law
        step = (known.highest - known.lowest) / ((1 << self.bits) - 2)
        self.scale = DacScale(self.bits, step, known.lowest - step)
        self.volts = np.zeros(law.cells)

    def reached(self, p: np.ndarray, seen: np.ndarray, stored: np.ndarray) -> np.ndarray:
        self.volts = self.scale.volts(self.scale.codes(self.law.voltage(p, seen)[0]))
        now = 1 + self.drift * min(1.0, self.done / self.draws)
        self.done += 1
        return self.calibration.law.probability(self.volts / now, stored)

    def take(self, flipped: np.ndarray, drawn: np.ndarray, seen: np.ndarray) -> None:
        if isinstance(self.law, DrawDrift) and drawn.any():
            self.law.take(np.where(drawn, self.volts, 0.0), flipped, drawn, seen)


class CellDraws:
    """Draws of software that go through `cells` of an array, of which `at` (pictures, pixels) are the pixels."""

    def __init__(self, streams: StreamDraws, cells: Cells, at: np.ndarray, size: int) -> None:
        self._streams, self._cells, self._at = streams, cells, at
        self._stored, self._seen = np.zeros(size, bool), np.zeros(size, bool)

    def draw(self, p: Probabilities) -> Bits:
        """Reset all, and draw."""
        self._stored[:], self._seen[:] = False, False
        return self.flip(p)

    def flip(self, p: Probabilities) -> Bits:
        """Flip what is stored, with the probability that its cell reaches."""
        at, cells, seen = self._at[: len(p)], self._cells, self._seen
        asked = np.zeros(len(seen))
        asked[at] = p.reshape(at.shape)
        reached = np.where(asked > 0, cells.reached(asked, seen, self._stored), 0.0)
        flips = np.zeros(len(seen), bool)
        flips[at] = self._streams.draw(reached[at].reshape(p.shape)).reshape(at.shape)
        self._stored = cells.stored(self._stored ^ flips)
        self._seen = cells.read(self._stored)
        cells.take(self._seen != seen, asked > 0, seen)
        return self._seen[at].astype(np.uint8).reshape(p.shape)


Calibrations = Mapping[str, DrawCalibration]


@dataclass(frozen=True)
class Arm:
    """Pictures to draw, and what is wrong with the cells; `group` is its figure, `at` its place there."""

    name: str
    group: str
    at: float | None = None
    pictures: int = FEW
    steps: int = STEPS
    floor: float = FLOOR
    writes: bool = False
    cells: Callable[["Arm", Calibrations], Cells] = lambda arm, known: Cells()

    def seed(self, word: str) -> int:
        """The seed of one thing of this arm."""
        return bootstrap_key(KEY, self.name, word) >> 65


def _dice(arm: Arm) -> np.random.Generator:
    return np.random.default_rng(arm.seed("cells"))


def _spread(sigma: float) -> Callable[[Arm, Calibrations], Cells]:
    return lambda arm, known: Off(_dice(arm).normal(0, sigma, SIDE**2))


def _stuck(share: float) -> Callable[[Arm, Calibrations], Cells]:
    def make(arm: Arm, known: Calibrations) -> Cells:
        dice = _dice(arm)
        return Stuck(dice.random(SIDE**2) < share, dice.random(SIDE**2) < 0.5)

    return make


def _column(arm: Arm, known: Calibrations) -> Cells:
    # Pictures lie side by side, so it is the same column of pixels of each: columns 14, 42, … of the array.
    where = np.zeros(SIDE**2, bool)
    where[_cells()[:, 14::28]] = True
    return Stuck(where, False)


def _codes(bits: int) -> Callable[[Arm, Calibrations], Cells]:
    return lambda arm, known: Codes(known["C"], bits)


def _drift(device: str, drift: float, followed: bool) -> Callable[[Arm, Calibrations], Cells]:
    draws = FEW // LOT * (STEPS + 1)
    return lambda arm, known: Codes(known[device], 8, drift, draws, followed)


def _shifted(arm: Arm, known: Calibrations) -> Cells:
    return Off(arm.at or 0.0)


def _misread(arm: Arm, known: Calibrations) -> Cells:
    return Misread(arm.at or 0.0, _dice(arm))


def _drifting(device: str, drift: float, followed: bool) -> Arm:
    how = "followed" if followed else "not followed"
    draws = FEW // LOT * (STEPS + 1)
    return Arm(
        f"drift {device} {100 * drift:g} %, {how}", f"drift {device}, {how}", drift,
        cells=lambda arm, known: Codes(known[device], 8, drift, draws, followed),
    )  # fmt: skip


def _arms() -> list[Arm]:
    arms = [Arm(name, "software", pictures=MANY) for name in BASELINE]
    arms += [
        Arm("sigma(P) = 0.1", "controls", pictures=MANY, cells=_spread(0.1)),
        Arm("P + 0.05", "controls", 0.05, pictures=MANY, cells=_shifted),
        Arm("dead column", "controls", pictures=MANY, cells=_column),
    ]
    arms += [Arm(f"sigma {s:g}", "sigma", s, cells=_spread(s)) for s in (0.01, 0.02, 0.05, 0.2)]
    arms += [
        Arm(f"shift {s:+g}", "shift", s, cells=_shifted) for s in (-0.02, -0.01, -0.005, 0.005, 0.01, 0.02)
    ]
    arms += [Arm(f"codes of {n} bits", "codes", n, cells=_codes(n)) for n in (3, 4, 5, 6, 8)]
    arms += [_drifting("C", d, followed=False) for d in (0.005, 0.01, 0.02, 0.05)]
    arms += [_drifting("C", d, followed=True) for d in (0.01, 0.05)]
    arms += [_drifting("D", d, followed=False) for d in (0.002, 0.005, 0.01)]
    arms += [_drifting("D", d, followed=True) for d in (0.01,)]
    arms += [Arm(f"stuck {s:g}", "stuck", s, cells=_stuck(s)) for s in (0.001, 0.003, 0.01, 0.03)]
    arms += [Arm(f"misread {s:g}", "misread", s, cells=_misread) for s in (1e-4, 1e-3, 3e-3, 1e-2)]
    arms += [Arm(f"T = {t}", "steps", t, steps=t) for t in (8, 16, 32)]
    arms += [Arm(f"floor {f:g}", "floor", f, floor=f) for f in (0.0, 0.003, 0.03, 0.1)]
    return [*arms, Arm("write", "write", writes=True)]


ARMS = _arms()


def _cells() -> np.ndarray:
    return place(np.ones(SIDE**2, bool), (SIDE, SIDE), LOT, 28, 28)


def drawn(network: Checkpoint, arm: Arm, known: Calibrations) -> np.ndarray:
    """Draw the pictures of an arm, uint8 (pictures, 28, 28) of 0 and 255; picture n is of label n modulo 10."""
    process, seed, images = BinaryProcess.from_config(network.card["scheduler"]), arm.seed("draws"), []
    cells, at = arm.cells(arm, known), _cells()
    for first in range(0, arm.pictures, LOT):
        numbers = range(first, min(first + LOT, arm.pictures))
        labels = torch.tensor([number % 10 for number in numbers])
        streams = StreamDraws([SoftwareSource(seed, number) for number in numbers])
        draws = CellDraws(streams, cells, at, SIDE**2)

        def ask(x: Bits, t: int, labels: torch.Tensor = labels) -> Probabilities:
            with torch.no_grad():
                seen = torch.from_numpy(x).float() * 2 - 1
                return torch.sigmoid(network.model(seen, t - 1, class_labels=labels).sample.double()).numpy()

        shape = (len(numbers), *network.pictures.shape)
        *_, last = grow(process, ask, draws, shape, arm.steps, writes=arm.writes, floor=arm.floor)
        images.append(last.x[:, 0] * np.uint8(255))
    return np.concatenate(images)


def draw(arguments: argparse.Namespace) -> None:
    """Draw what is not there yet."""
    network = load_checkpoint(arguments.model)
    known = {name: DrawCalibration.load(path) for name, path in arguments.calibration}
    folder = arguments.out / "arms"
    folder.mkdir(parents=True, exist_ok=True)
    for arm in ARMS:
        path, wanted = folder / f"{arm.name}.npz", not arguments.arms or arm.name in arguments.arms
        claim = path.with_suffix(".drawing")
        if path.exists() or not wanted:
            continue
        try:
            claim.touch(exist_ok=False)
        except FileExistsError:
            continue  # another process is at it
        try:
            images = drawn(network, arm, known)
            with claim.open("wb") as file:
                np.savez_compressed(file, images=images, model=network.sha256)
            os.replace(claim, path)
        finally:
            claim.unlink(missing_ok=True)
        print(arm.name, flush=True)


def main() -> None:
    """Draw what is asked for."""

    def pair(text: str) -> tuple[str, Path]:
        name, _, path = text.partition("=")
        return name, Path(path)

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--calibration", type=pair, action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("arms", nargs="*", metavar="ARM")
    torch.set_num_threads(1)
    draw(parser.parse_args())


if __name__ == "__main__":
    main()
