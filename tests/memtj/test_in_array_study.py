"""The committed study of pictures in an array: the numbers of its README are those of its results."""

import json
from pathlib import Path
from typing import Any

from sampler import load_checkpoint

STUDY = Path(__file__).parents[2] / "docs" / "studies" / "in-array"
README = (STUDY / "README.md").read_text(encoding="utf-8")
RESULTS: dict[str, Any] = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))
ARRAYS, CONTROLS = ("array C", "array D"), ("sigma(P) = 0.1", "P + 0.05", "dead column")


def row(name: str, arm: dict[str, Any]) -> str:
    """An arm's line in a table of the README."""
    distance, told = arm["frechet_interval"], arm.get("against software")
    cells = [name, f"{arm['n']}", f"{distance['value']:.2f} [{distance['low']:.2f}, {distance['high']:.2f}]"]
    if told is not None:
        same, other = told["equivalence"], told["difference"]
        cells += [
            f"{same['difference']:+.3f} [{same['low']:+.3f}, {same['high']:+.3f}]",
            f"{other['p_value']:.4f}",
            told["verdict"],
        ]
    else:
        cells += ["–", "–", "–"]
    return f"| {' | '.join(cells)} |".replace("-0.", "−0.")


def test_every_arm_is_in_the_readme_with_the_numbers_of_the_results() -> None:
    for name, arm in RESULTS["arms"].items():
        assert row(name, arm) in README, row(name, arm)


def test_results_are_of_the_network_that_is_kept() -> None:
    assert load_checkpoint(STUDY / "trained" / "binary").sha256 == RESULTS["model"]


def test_what_the_readme_says_of_arrays_and_controls() -> None:
    arms = RESULTS["arms"]
    assert all(arms[name]["against software"]["verdict"] == "equivalent" for name in ARRAYS)
    assert all(arms[name]["n"] == 1000 for name in (*ARRAYS, *CONTROLS))
    assert all(arms[name]["against software"]["difference"]["p_value"] < 1e-3 for name in CONTROLS)
    for name in ARRAYS:
        grown = arms[name]["grown"]
        assert f"| {name} | {grown['bits_per_picture']:,.0f} | {grown['pulses_per_picture']:,.0f} |" in README


def test_every_figure_is_there_and_shown() -> None:
    figures = sorted(path.name for path in (STUDY / "figures").iterdir())
    assert len(figures) == 10
    assert all(f"figures/{name}" in README for name in figures)


def test_what_the_readme_says_beside_the_gaussian_process() -> None:
    found = json.loads((STUDY / "gaussian.json").read_text(encoding="utf-8"))
    for name, shown in {"gaussian": "Gaussian, 100 steps of 32-bit normals", "real": "real digits"}.items():
        _, value, low, high = found[name]["distance"]
        bits = f"{found[name]['bits']:,}" if "bits" in found[name] else "–"
        assert f"| {shown} | {bits} | – | {value:.2f} [{low:.2f}, {high:.2f}] |" in README
    ways = {"flip, no floor": "by flips, no floor", "flip": "by flips", "write": "by writes"}
    for name, shown in ways.items():
        way, (_, value, low, high) = found[name], found[name]["distance"]
        pulses = way["pulses"] + way["resets"]
        assert (
            f"| bits, {shown} | {way['bits']:,.0f} | {pulses:.1f} | {value:.2f} [{low:.2f}, {high:.2f}] |"
            in README
        )
    ratios = found["ratios"]
    assert f"{ratios['distance, binary to gaussian']:.2f} times as far" in README
    assert f"{ratios['bits of 1-bit normals to bits read']:.1f} times as many bits" in README
    assert f"{ratios['pulses, write to flip']:.1f} times fewer pulses" in README
    assert f"{ratios['pulses, write without those of P = 0 to flip']:.1f} times, where" in README
