"""The page of a comparison: both verdicts side by side, nothing loaded from elsewhere."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from memtj.pages import _comparison_figures
from memtj.pages.comparison import arms_of_figure, comparison_page, write_page
from sampler.comparison import (
    ArmResult,
    Comparison,
    Difference,
    Equivalence,
    Evaluation,
    Interval,
    Memorising,
    RunResult,
)

LABEL = "Fréchet distance, digit features"


class Plan(BaseModel):
    """A stand-in with what the page reads of a plan."""

    name: str = "made up"
    key: int = 7
    pictures: int = 2000
    runs: int = 2
    scheduler: str = "ddpm"
    steps: int = 50
    margin: float = 0.3


def evaluation(frechet: float) -> Evaluation:
    spread = 0.1 * frechet
    return Evaluation(
        n=2000,
        reference="5,000 real digits",
        reference_n=5000,
        extractor="digit features",
        extractor_sha256="ab" * 32,
        distance=LABEL,
        key=1,
        frechet=frechet,
        frechet_interval=Interval(0.9 * frechet, 0.8 * frechet, frechet),
        frechet_replicates=tuple(1.1 * frechet + spread * np.linspace(-1, 1, 60)),
        kernel=0.01 * frechet,
        kernel_error=0.002,
        precision=Interval(0.8, 0.7, 0.9),
        recall=0.75,
        density=0.9,
        coverage=0.5,
        accuracy=Interval(0.97, 0.96, 0.98),
        label_entropy=3.32,
        confidence_entropy=Interval(0.5, 0.4, 0.6),
        memorising=Memorising(1.02, 0.004, 1.05, 0.008, 0),
    )


def comparison(difference: float) -> Comparison:
    return Comparison(
        Equivalence(
            difference, 0.05, np.inf, difference - 0.08, difference + 0.08, 0.3, 0.01, 0.9, 0.1, 0.2, (2, 2)
        ),
        Difference(
            0.01 * difference, 1e-4 if difference > 1 else 0.4, 9999, (2000, 2000), 1e-3, 0.004, 0.005, 0.006
        ),
    )


def claim(min_entropy: float, *reasons: str) -> dict[str, Any]:
    return {"bits": 1 << 21, "min_entropy": min_entropy, "ideal": 0.9, "reasons": list(reasons)}


def sheet() -> str:
    packed = io.BytesIO()
    Image.fromarray(np.zeros((28, 56), np.uint8)).save(packed, format="PNG")
    return base64.b64encode(packed.getvalue()).decode()


def arm(name: str, group: Any, frechet: float, raw: dict[str, Any] | None, **changes: Any) -> ArmResult:
    run = RunResult(
        "seed 1", evaluation(frechet), raw, sheet(), 1_000_000 * changes.get("bits_per_normal", 32)
    )
    plain: dict[str, Any] = {
        "parameter": None,
        "parameter_name": "",
        "training": "model shipped",
        "sampling": "software <of> a seed",
        "conditioning": "none",
        "bits_per_normal": 32,
        "runs": [run, RunResult("seed 2", evaluation(1.05 * frechet), raw, sheet(), run.bits_per_picture)],
        "comparison": None if name == "software" else comparison(frechet - 0.25),
        "against": "" if name == "software" else "software",
    }
    return ArmResult(name=name, group=group, **{**plain, **changes})


@pytest.fixture(scope="module")
def arms() -> list[ArmResult]:
    good, poor = claim(0.91), claim(0.7, "0.5200 of them are 1")
    return [
        arm("software", "baseline", 0.25, good),
        arm("array xor2", "array", 0.26, claim(0.9)),
        arm("P(1) = 0.505", "bias", 3.0, poor, parameter=0.505),
        arm("P(1) = 0.52", "bias", 60.0, poor, parameter=0.52),
        arm("lag-1 = 0.1", "correlation", 2.0, poor, parameter=0.1),
        arm("stuck 5 %", "stuck", 9.0, poor, parameter=0.05),
        *[arm(f"{w} bits", "width", 0.27, good, parameter=float(w), bits_per_normal=w) for w in (1, 8, 16)],
        arm("xor2", "conditioning", 0.3, poor, conditioning="xor2"),
        arm("all zeros behind a mask", "constant", 0.26, claim(0.0, "all are 0"), conditioning="mask:1"),
    ]


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory, arms: list[ArmResult]) -> Path:
    out = tmp_path_factory.mktemp("comparison")
    floor = RunResult("real digits", evaluation(0.08), sheet_png=sheet())
    path = write_page(
        out,
        Plan(),
        arms,
        floor,
        stores=["array"],
        simulated=True,
        commands=["memtj compare made-up --out out"],
    )
    assert path == out / "report.html"
    return path


def test_the_page_stands_alone_and_shows_both_verdicts(page_path: Path, arms: list[ArmResult]) -> None:
    page = page_path.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    for text in ("SIMULATED ARRAY", "± 0.3", "seed 1; seed 2", "memtj compare made-up", "ab" * 32, LABEL):
        assert text in page
    masked = re.search(r"<tr><td>all zeros behind a mask</td>.*?</tr>", page)
    assert masked is not None
    for text in ('"equivalent">equivalent', "NOT ideal", "0.00", "2.10 Mbit judged; all are 0"):
        assert text in masked.group()
    assert "Pictures alone never prove randomness" in page
    assert "software &lt;of&gt; a seed" in page
    assert "FID" not in re.sub(r'"data:[^"]*"', "", page)
    assert page.count("<figcaption>How few bits") == page.count("<figcaption>The same against the bill") == 1
    # The overview, three curves, two of widths, two of kinds; a sheet for each arm and for the real pictures.
    assert page.count('src="data:image/png') == 1 + 3 + 2 + 2 + len(arms) + 1


def test_the_json_makes_the_same_page(page_path: Path, arms: list[ArmResult]) -> None:
    page = page_path.read_text(encoding="utf-8")
    report = json.loads(page_path.with_suffix(".json").read_text(encoding="utf-8"))
    assert comparison_page(report) == page
    assert [ArmResult.from_json(arm) for arm in report["arms"]] == arms


def test_a_first_arm_alone_has_a_page(tmp_path: Path) -> None:
    path = write_page(tmp_path, Plan(), [arm("software", "baseline", 0.25, None)], None)
    page = path.read_text(encoding="utf-8")
    assert "SOFTWARE BITS ALONE" in page
    assert "not judged" in page


def test_pictures_of_bits_have_no_bits_a_normal(tmp_path: Path) -> None:
    arms = [arm("software", "baseline", 0.25, claim(0.91))]
    page = write_page(tmp_path, Plan(scheduler="bernoulli", steps=64), arms, None).read_text(encoding="utf-8")
    assert "binary process, 64 steps" in page
    row = re.search(r"<td>software &lt;of&gt; a seed</td>.*?</tr>", page)
    assert row is not None
    assert "<td>none</td>" in row.group()
    assert ">–</td>" in row.group()
    assert ">32</td>" not in row.group()


def test_each_arm_is_shown_beside_the_one_that_it_is_held_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [
        arm("software", "baseline", 0.25, None),
        arm("large network", "baseline", 30.0, None, against="", comparison=None),
        arm("array", "array", 0.26, None),
        arm("array, large network", "array", 31.0, None, against="large network"),
        arm("array, later", "array", 31.0, None, against="not drawn yet", comparison=None),
        arm("P(1) = 0.52", "bias", 3.0, None, parameter=0.52),
        arm("P(1) = 0.52, 1 bit", "bias", 4.0, None, parameter=0.52, bits_per_normal=1),
    ]
    drawn: dict[str, list[_comparison_figures.Point]] = {}
    for kind in ("categories", "curve"):
        plain = getattr(_comparison_figures, kind)

        def keep(points: Any, *others: Any, kind: str = kind, plain: Any = plain, **more: Any) -> str:
            drawn[kind] = list(points)
            return plain(points, *others, **more)

        monkeypatch.setattr(_comparison_figures, kind, keep)
    page = write_page(tmp_path, Plan(), arms, None, stores=["array"]).read_text(encoding="utf-8")
    assert "ORIGIN OF THE ARRAY&#39;S BITS UNKNOWN" in page
    rows = dict(re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td><td class=", page))
    assert rows == {one.name: one.against or "–" for one in arms}
    assert page.count(">baseline<") == 2
    assert page.count("not compared yet") == 1
    near, far, later = drawn["categories"]
    assert near.baseline == pytest.approx(0.225, rel=0.1)
    assert far.baseline == pytest.approx(27, rel=0.1)
    assert later.baseline is None
    # Maps of different width are different curves.
    assert [point.series for point in drawn["curve"]] == ["", "1 bit a normal"]


def test_a_figure_has_what_differs_only_in_what_it_varies() -> None:
    xor = {"sampling": "store array", "conditioning": "xor2"}
    poor = {"sampling": "software, P(1) = 0.55"}
    arms = [
        arm("software", "baseline", 0.25, None),
        arm("array xor2", "array", 0.26, None, **xor),
        arm("array raw", "array", 0.26, None, sampling="store array"),
        arm("trained by the array, too", "array", 0.26, None, training="store array", **xor),
        arm("P(1) = 0.55", "bias", 40.0, None, **poor),
        arm("P(1) = 0.55, 1 bit", "bias", 40.0, None, bits_per_normal=1, **poor),
        arm("8 bits", "width", 0.26, None, bits_per_normal=8, **xor),
        arm("P(1) = 0.55, xor2", "conditioning", 0.3, None, conditioning="xor2", **poor),
    ]
    assert [one.name for one in arms_of_figure(arms, "width")] == ["array xor2", "8 bits"]
    assert [one.name for one in arms_of_figure(arms, "conditioning")] == ["P(1) = 0.55", "P(1) = 0.55, xor2"]
    assert [one.name for one in arms_of_figure(arms, "array")] == [
        "array xor2",
        "array raw",
        "trained by the array, too",
    ]
