"""What the pictures of the study score: `python docs/studies/in-array/score.py FOLDER --grown NAME=RUN [--grown ...]`.

FOLDER is that of `study.py`; RUN one of 'memtj grow', whose `--json` is beside it as RUN.json. `results.json` and the
figures of this folder are written anew; what was measured before is not measured again.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import NullLocator
from PIL import Image
from study import ARMS, BASELINE, FLOOR, MANY, STEPS

from sampler import RunFolder
from sampler.comparison import (
    Evaluation,
    Reference,
    Run,
    as_bits,
    bootstrap_key,
    compare_runs,
    digit_features,
    digit_reference,
    evaluate,
    real_digits,
)

HERE = Path(__file__).parent
KEY, MARGIN = 18_112_026, 0.4
ENDS = ("value", "low", "high")
AXES = {
    "sigma": "standard deviation of P over the cells",
    "shift": "P is off by, in all cells",
    "codes": "bits of a pulse code (set C)",
    "drift": "critical voltages drift meanwhile by",
    "stuck": "share of stuck cells",
    "misread": "share of wrong readings",
    "steps": "steps T",
    "floor": "floor: flips less likely have no pulse",
}


@dataclass(frozen=True)
class Measuring:
    """Runs measured against real digits in black and white, and kept in `folder`."""

    folder: Path
    reference: Reference

    def run(self, name: str, images: np.ndarray, labels: np.ndarray | None = None) -> Run:
        """Measure pictures; number n is of label n modulo 10 where nothing is said."""
        labels = np.arange(len(images)) % 10 if labels is None else labels
        features = digit_features()(images)
        kept = self.folder / f"{name}, {len(images)}.json"
        if kept.exists():
            return Run(features, labels, Evaluation.from_json(json.loads(kept.read_text("utf-8"))))
        found = evaluate(features, labels, self.reference, bootstrap_key(KEY, name, len(images)))
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(found.to_json()), "utf-8")
        return Run(features, labels, found)

    def against(self, name: str, software: Sequence[Run], run: Run) -> dict[str, Any]:
        """Compare a run with those of software, at its number of pictures."""
        kept = self.folder / f"{name}, {len(run.labels)}, compared.json"
        if not kept.exists():
            found = compare_runs(software, [run], MARGIN, bootstrap_key(KEY, name, "against"))
            kept.write_text(json.dumps(found.to_json()), "utf-8")
        return json.loads(kept.read_text("utf-8"))


def grown(folder: Path, model: str) -> np.ndarray:
    """Give the pictures of a run of 'memtj grow' by the network that the other arms have, drawn as they are."""
    told = RunFolder.begun_with(folder)
    assert told is not None
    assert told["model"] == model, f"{folder} is of another network"
    assert (told["steps"], told["floor"], told["draws"]) == (STEPS, FLOOR, "flip"), (
        f"{folder} was drawn otherwise"
    )
    assert told["labels"] == [number % 10 for number in range(told["images"])]
    return np.stack(RunFolder(folder, told, told["labels"], frozenset()).pixels())


def plain(run: Run) -> dict[str, Any]:
    """Give what is worth keeping of an evaluation."""
    found = run.evaluation.to_json()
    kept = ("n", "frechet", "frechet_interval", "kernel", "kernel_error", "accuracy", "precision", "recall")
    return {name: found[name] for name in kept}


def score(folder: Path, runs: Sequence[tuple[str, Path]]) -> dict[str, Any]:
    """Measure all that is there."""
    measuring = Measuring(folder / "scores", digit_reference(digit_features(), bits=True))
    drawn, model = {}, ""
    for arm in ARMS:
        if (path := folder / "arms" / f"{arm.name}.npz").exists():
            with np.load(path) as file:
                drawn[arm.name], model = file["images"], str(file["model"])
    software = {
        n: [measuring.run(name, drawn[name][:n]) for name in BASELINE]
        for n in {len(images) for images in drawn.values()}
    }
    found: dict[str, Any] = {"model": model, "margin": MARGIN, "key": KEY, "arms": {}}
    real, labels = real_digits()
    some = np.random.default_rng(KEY).permutation(len(real))[:MANY]
    found["arms"]["real digits"] = {
        "group": "real",
        **plain(measuring.run("real", as_bits(real[some]), labels[some])),
    }
    for arm in ARMS:
        if arm.name not in drawn:
            continue
        run = measuring.run(arm.name, drawn[arm.name])
        others = [
            one for name, one in zip(BASELINE, software[len(run.labels)], strict=True) if name != arm.name
        ]
        told = measuring.against(arm.name, others, run)
        found["arms"][arm.name] = {"group": arm.group, "at": arm.at, **plain(run), "against software": told}
    for name, path in runs:
        run = measuring.run(name, grown(path, model))
        told = measuring.against(name, software[len(run.labels)], run)
        outcome = json.loads(path.with_name(f"{path.name}.json").read_text("utf-8"))
        outcome = {key: value for key, value in outcome.items() if key not in ("out", "store")}
        found["arms"][name] = {"group": "array", **plain(run), "against software": told, "grown": outcome}
    return found


def draw_curves(found: dict[str, Any]) -> None:
    """Draw a figure of each group that has points: distances without their bias, and their intervals of 95 %."""
    arms = found["arms"].values()
    base = float(np.mean([arm["frechet_interval"]["value"] for arm in arms if arm["group"] == "software"]))
    for name, axis in AXES.items():
        groups = sorted({arm["group"] for arm in arms if arm["group"].split(" ")[0] == name})
        if not groups:
            continue
        figure, axes = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
        axes.axhspan(base - MARGIN, base + MARGIN, color="0.9", label="software ± margin")
        axes.axhline(base, color="0.6", lw=1)
        for group in groups:
            own = [arm for arm in arms if arm["group"] == group]
            points = sorted((arm["at"], *(arm["frechet_interval"][key] for key in ENDS)) for arm in own)
            at, value, low, high = np.array(points).T
            label = group.removeprefix(name).strip(" ,") or None
            axes.errorbar(
                at, value, [value - low, high - value], fmt="o-", ms=4, lw=1, capsize=2, label=label
            )
        axes.set(xlabel=axis, ylabel="Fréchet distance, digit features")
        if max(arm["frechet_interval"]["high"] for arm in arms if arm["group"] in groups) > 2:
            axes.set_yscale("symlog")
            axes.yaxis.set_major_formatter("{x:g}")
        if name not in ("shift", "codes", "steps", "floor"):
            at = sorted({arm["at"] for arm in arms if arm["group"] in groups})
            axes.set_xscale("log")
            axes.set_xticks(at, labels=[f"{each:g}" for each in at])
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.locator_params("x", nbins=5)
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(HERE / "figures" / f"{name}.png", dpi=90)
        plt.close(figure)


def draw_sheet(name: str, images: np.ndarray) -> None:
    """Lay the first hundred pictures out, ten a row."""
    rows = [np.concatenate(list(images[at : at + 10]), axis=1) for at in range(0, 100, 10)]
    sheet = Image.fromarray(np.concatenate(rows)).convert("1")
    sheet.resize((sheet.width * 2, sheet.height * 2)).save(
        HERE / "figures" / f"{name.replace(' ', '-')}.png", optimize=True
    )


def main() -> None:
    """Measure, and write results and figures."""

    def pair(text: str) -> tuple[str, Path]:
        name, _, path = text.partition("=")
        return name, Path(path)

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--grown", type=pair, action="append", default=[], metavar="NAME=RUN")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = score(arguments.folder, arguments.grown)
    (HERE / "figures").mkdir(exist_ok=True)
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw_curves(found)
    for name, path in arguments.grown:
        draw_sheet(name, grown(path, found["model"]))
    for name, arm in found["arms"].items():
        against = arm.get("against software", {})
        print(
            name,
            arm["frechet_interval"],
            against.get("verdict"),
            against.get("difference", {}).get("p_value"),
        )


if __name__ == "__main__":
    main()
