"""The committed study of digits: its pages, its plans and the numbers of its README agree with its reports."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sampler.comparison import ArmResult, arm_frechet, bootstrap_key, load_plan

STUDY = Path(__file__).parents[2] / "docs" / "studies" / "digits"
README = (STUDY / "README.md").read_text(encoding="utf-8")


REPORTS = {"plan.toml": STUDY, "training.toml": STUDY / "trained"}


@pytest.fixture(params=REPORTS)
def plan(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def report(plan: str) -> dict[str, Any]:
    return json.loads((REPORTS[plan] / "report.json").read_text(encoding="utf-8"))


def row(arm: ArmResult) -> str:
    """An arm's line in a table of the README."""
    distance = arm_frechet([run.evaluation for run in arm.runs], bootstrap_key("page", arm.name))
    cells = [arm.name, f"{len(arm.runs)}", f"{distance.value:.3g} [{distance.low:.3g}, {distance.high:.3g}]"]
    if arm.comparison is None:
        cells += ["–", "–", "baseline"]
    else:
        same, other = arm.comparison.equivalence, arm.comparison.difference
        verdict = arm.comparison.verdict
        cells += [
            f"{same.difference:+.3f} [{same.low:+.3f}, {same.high:+.3f}]",
            f"{other.p_value:.1e}" if other.p_value < 0.01 else f"{other.p_value:.2f}",
            f"**{verdict}**" if verdict == "different" else verdict,
        ]
    claims = [run.raw_claim for run in arm.runs if run.raw_claim is not None]
    bad = any(claim["reasons"] for claim in claims)
    lowest = min(claim["min_entropy"] for claim in claims)
    cells.append(f"{'**not ideal**' if bad else 'like ideal bits'}, {lowest:.2f}")
    return f"| {' | '.join(cells)} |".replace("-0.", "−0.")


def test_every_arm_is_in_the_readme_with_the_numbers_of_the_report(report: dict[str, Any]) -> None:
    for given in report["arms"]:
        assert row(ArmResult.from_json(given)) in README


def test_the_report_is_of_the_plan_and_whole(plan: str, report: dict[str, Any]) -> None:
    planned = load_plan(STUDY / plan)
    assert report["plan"] == planned.model_dump(mode="json")
    assert [arm["name"] for arm in report["arms"]] == [arm.name for arm in planned.arms]
    assert all(
        len(given["runs"]) == planned.runs_of(arm)
        for given, arm in zip(report["arms"], planned.arms, strict=True)
    )
    assert all(given["comparison"] is not None for given in report["arms"] if given["against"])
    assert report["simulated"] is True


def test_the_readmes_figures_are_those_of_the_pages() -> None:
    pages = [(folder / "report.html").read_text(encoding="utf-8") for folder in REPORTS.values()]
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", README)
    assert shown
    for name in shown:
        figure = base64.b64encode((STUDY / name).read_bytes()).decode()
        assert any(figure in page for page in pages), name


def test_every_figure_kept_is_shown() -> None:
    assert all(f"figures/{path.name}" in README for path in (STUDY / "figures").iterdir())
