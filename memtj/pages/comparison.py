"""The page of a comparison: self-contained HTML that shows both verdicts, of pictures and of raw bits."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from pydantic import BaseModel

from memtj._quantities import si
from memtj.pages import _comparison_figures as figures
from memtj.pages._comparison_figures import Level, Point
from memtj.pages._render import Cell, render_page
from sampler import write_whole
from sampler.comparison import (
    ArmResult,
    Evaluation,
    Interval,
    Memorising,
    RunResult,
    arm_frechet,
    bootstrap_key,
    holm,
)
from sampler.processes import BERNOULLI

_CURVES = {
    "bias": ("|P(1) − ½| of the raw bits", "How far P(1) of the bits may lie from one half."),
    "correlation": ("lag-1 correlation of the bits", "How much neighbouring bits may follow each other."),
    "stuck": ("share of stuck cells", "How many cells may be stuck: the yield that an array needs."),
}
_PLAIN = {"array": "The array's bits.", "conditioning": "What conditioning buys."}


def write_page(
    out: Path,
    plan: BaseModel,
    results: Sequence[ArmResult],
    floor: RunResult | None,
    *,
    stores: Sequence[str] = (),
    simulated: bool | None = None,
    commands: Sequence[str] = (),
) -> Path:
    """Write `report.json` and `report.html` to folder `out`; return the page's path.

    Args:
        out: an existing folder.
        plan: of the comparison; all of it goes into the report.
        results: the arms that are whole.
        floor: what other real pictures score, where that is known.
        stores: the names of those that the plan takes bits from.
        simulated: whether the array's bits are a simulation's; None where that is not known.
        commands: that make the comparison again.
    """
    report = {
        "format": "memtj-comparison",
        "format_version": 1,
        "plan": plan.model_dump(mode="json"),
        "stores": list(stores),
        "simulated": simulated,
        "commands": list(commands),
        "floor": None if floor is None else floor.to_json(),
        "arms": [arm.to_json() for arm in results],
    }
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out / "report.json", text.encode())
    write_whole(out / "report.html", comparison_page(report).encode())
    return out / "report.html"


def comparison_page(report: Mapping[str, Any]) -> str:
    """Make the page of a report as `write_page` stores it.

    `report` has `plan` (name, key, pictures, runs, scheduler, steps, margin …), `arms` (a list of what
    ArmResult.to_json gives), `floor` (RunResult.to_json or None), `stores`, `simulated` (bool or None) and `commands`.
    """
    arms = [ArmResult.from_json(arm) for arm in report["arms"]]
    floor = None if report.get("floor") is None else RunResult.from_json(report["floor"])
    plan = report["plan"]
    points = _points(arms)
    first = arms[0].runs[0].evaluation
    level = Level(float(plan["margin"]), None if floor is None else floor.evaluation.frechet_interval.value)
    runs = {
        f"{arm.name}, run {number}" if len(arm.runs) > 1 else arm.name: run
        for arm in arms
        for number, run in enumerate(arm.runs, 1)
    }
    real = {} if floor is None else {"real pictures": floor}
    shown = {arm.name: arm.runs[0] for arm in arms} | real
    plain = {k.replace("_", " "): v for k, v in plan.items() if isinstance(v, str | int | float | bool)}
    return render_page(
        "comparison.html",
        title=f"Comparison of noise: {plan['name']}",
        lead=(
            "Arms of noise, each judged twice: by the pictures that it draws, and by its raw bits before any "
            "conditioning. Only the second says whether there was entropy."
        ),
        simulated=report.get("simulated") is not False,
        origin=_origin(report.get("simulated"), report.get("stores", [])),
        summary=_summary(arms),
        highlights=_highlights(plan, arms, points, floor),
        distance=first.distance,
        reference=first.reference,
        overview=figures.overview(list(points.values()), level, first.distance),
        verdicts=_verdicts(arms),
        margin=f"{plan['margin']:g}",
        curves=_curves(arms, points, level, first.distance),
        measures=[_measures(name, run.evaluation) for name, run in (runs | real).items()],
        memorising=[
            _memorising(name, run.evaluation.memorising)
            for name, run in runs.items()
            if run.evaluation.memorising
        ],
        sheets=[
            (f"data:image/png;base64,{run.sheet_png}", name)
            for name, run in shown.items()
            if run.sheet_png is not None
        ],
        arms=[_arm(arm, _binary(plan)) for arm in arms],
        setup=[*plain.items(), ("feature extractor", f"{first.extractor}, SHA-256 {first.extractor_sha256}")],
        commands=report.get("commands", []),
    )


def arms_of_figure(arms: Sequence[ArmResult], group: str) -> list[ArmResult]:
    """Give a group's arms, and those of others that differ from one of them only in what the group varies."""

    def same(arm: ArmResult) -> tuple[object, ...]:
        varied = {"width": arm.conditioning, "conditioning": arm.bits_per_normal}.get(group, arm.name)
        return arm.training, arm.sampling, arm.against, varied

    kinds = {same(arm) for arm in arms if arm.group == group}
    return [arm for arm in arms if arm.group == group or same(arm) in kinds]


def _points(arms: Sequence[ArmResult]) -> dict[str, Point]:
    """Each arm as the figures show it, beside the arm that it is held against."""
    distances = {
        arm.name: arm_frechet([run.evaluation for run in arm.runs], bootstrap_key("page", arm.name))
        for arm in arms
    }
    return {arm.name: _point(arm, distances) for arm in arms}


def _point(arm: ArmResult, distances: Mapping[str, Interval]) -> Point:
    own, against = distances[arm.name], arm.against or arm.name
    return Point(
        arm.name,
        float("nan") if arm.parameter is None else arm.parameter,
        own.value,
        own.low,
        own.high,
        "" if not arm.against else _verdict(arm) or "undecided",
        min((float(claim["min_entropy"]) for claim in _claims(arm)), default=None),
        _raw_bad(arm),
        _series(arm),
        against,
        distances[against].value if against in distances else None,
    )


def _verdict(arm: ArmResult) -> str:
    """What the pictures say; "" where the arm is not compared (yet)."""
    return "" if arm.comparison is None else arm.comparison.verdict


def _series(arm: ArmResult) -> str:
    """Which curve of its group an arm is a point of: what else than the parameter differs."""
    parts = [] if arm.conditioning == "none" else [arm.conditioning]
    if arm.bits_per_normal != 32 and arm.group != "width":
        parts.append(f"{arm.bits_per_normal} bit{'s' if arm.bits_per_normal > 1 else ''} a normal")
    return ", ".join(parts)


def _claims(arm: ArmResult) -> list[Mapping[str, Any]]:
    return [run.raw_claim for run in arm.runs if run.raw_claim is not None]


def _raw_bad(arm: ArmResult) -> bool:
    """Whether something sets the raw bits of a run apart from ideal ones."""
    return any(claim["reasons"] for claim in _claims(arm))


def _origin(simulated: bool | None, stores: Sequence[str]) -> str:
    if simulated is None:
        return "ORIGIN OF THE ARRAY'S BITS UNKNOWN" if stores else "SOFTWARE BITS ALONE"
    return "SIMULATED ARRAY" if simulated else "PHYSICAL ARRAY"


def _summary(arms: Sequence[ArmResult]) -> str:
    count = Counter(_verdict(arm) for arm in arms if arm.comparison is not None)
    if not count:
        return "No arm is compared with another one yet."
    text = (
        f"Of {count.total()} compared arms, {count['equivalent']} draw pictures equivalent to those that they are held "
        f"against, {count['different']} draw different ones, and {count['undecided']} are undecided."
    )
    hidden = [arm.name for arm in arms if _verdict(arm) == "equivalent" and _raw_bad(arm)]
    if not hidden:
        return text
    return (
        f"{text} Equivalent pictures from raw bits that are NOT ideal: {', '.join(hidden)}. Pictures alone never prove "
        "randomness."
    )


def _highlights(
    plan: Mapping[str, Any], arms: Sequence[ArmResult], points: Mapping[str, Point], floor: RunResult | None
) -> list[tuple[str, str, str]]:
    process = "binary process" if _binary(plan) else str(plan.get("scheduler", "")).upper()
    how = f"{process}, {plan.get('steps', '?')} steps"
    facts = [
        ("pictures", f"{arms[0].runs[0].evaluation.n:,} a run", how),
        ("margin", f"± {plan['margin']:g}", "fixed before the pictures were drawn"),
    ]
    powers = [arm.comparison.equivalence.power for arm in arms if arm.comparison is not None]
    if powers:
        value = " … ".join(dict.fromkeys(f"{power:.2f}" for power in (min(powers), max(powers))))
        facts.append(("power of the equivalence test", value, "if an arm is truly equal"))
    for name in dict.fromkeys(arm.against for arm in arms):
        if name in points:
            facts.append((name, _interval(points[name]), "what others are held against"))
    if floor is not None:
        real = floor.evaluation
        facts.append(("real pictures", _interval(real.frechet_interval), f"{real.n:,} others: the floor"))
    return facts


def _verdicts(arms: Sequence[ArmResult]) -> list[tuple[str | Cell, ...]]:
    compared = [arm.comparison.difference.p_value for arm in arms if arm.comparison is not None]
    adjusted = iter(holm(np.array(compared)).tolist())
    rows = []
    for arm in arms:
        outcome, numbers = "not compared yet" if arm.against else "baseline", ("", "", "")
        if arm.comparison is not None:
            outcome, same = arm.comparison.verdict, arm.comparison.equivalence
            numbers = (
                f"{_number(same.difference)} [{_number(same.low)}, {_number(same.high)}]",
                f"{arm.comparison.difference.p_value:.2g} ({next(adjusted):.2g})",
                f"{same.power:.2f}; {_number(same.detectable_80)}",
            )
        pictures = Cell(outcome, _verdict(arm))
        rows.append((arm.name, arm.against or "–", pictures, *numbers, *_raw_verdict(_claims(arm))))
    return rows


def _raw_verdict(claims: Sequence[Mapping[str, Any]]) -> tuple[Cell, str]:
    """Say what the raw bits are like, by the worst of their runs, and their min-entropy."""
    if not claims:
        return Cell("not judged", "why"), "–"
    worst = min(claims, key=lambda claim: (not claim["reasons"], claim["min_entropy"]))
    verdict = Markup('<span class="bad">NOT ideal</span>') if worst["reasons"] else "like ideal bits"
    why = "; ".join([f"{si(worst['bits'], 'bit')} judged", *worst["reasons"]])
    return Cell(Markup("{}<br>{}").format(verdict, why), "why"), f"{worst['min_entropy']:.2f}"


def _curves(
    arms: Sequence[ArmResult], points: Mapping[str, Point], level: Level, label: str
) -> list[tuple[str, str]]:
    """Draw the figures of the groups that there are, each with its caption."""
    drawn = []
    for group, (x_label, caption) in _CURVES.items():
        shift = 0.5 if group == "bias" else 0.0
        own = [
            replace(points[arm.name], x=abs(arm.parameter - shift))
            for arm in arms
            if arm.group == group and arm.parameter is not None
        ]
        if own:
            drawn.append((figures.curve(own, level, label, x_label), caption))
    drawn += _width_curves(arms_of_figure(arms, "width"), points, level, label)
    for group, caption in _PLAIN.items():
        own = [points[arm.name] for arm in arms_of_figure(arms, group)]
        if own:
            drawn.append((figures.categories(own, level, label), caption))
    return drawn


def _width_curves(
    arms: Sequence[ArmResult], points: Mapping[str, Point], level: Level, label: str
) -> list[tuple[str, str]]:
    if not arms:
        return []
    width = [replace(points[arm.name], x=arm.bits_per_normal) for arm in arms]
    by_width = figures.curve(width, level, label, "bits per normal number", base=2)
    drawn = [(by_width, "How few bits a normal number may be made of.")]
    most = max(arm.runs[0].bits_per_picture for arm in arms)
    unit, scale = ("Mbit", 1e6) if most >= 1e6 else ("kbit", 1e3)
    bill = [replace(points[arm.name], x=arm.runs[0].bits_per_picture / scale) for arm in arms]
    if all(point.x > 0 for point in bill):
        by_bill = figures.curve(bill, level, label, f"raw bits that a picture takes ({unit})")
        drawn.append((by_bill, "The same against the bill: what one picture reads."))
    return drawn


def _measures(name: str, run: Evaluation) -> tuple[str, ...]:
    return (
        name,
        _number(run.frechet),
        _interval(run.frechet_interval),
        f"{run.kernel:.4f} ± {run.kernel_error:.4f}",
        f"{run.precision.value:.3f}",
        f"{run.recall:.3f}",
        "–" if run.accuracy is None else f"{100 * run.accuracy.value:.1f} %",
        "–" if run.label_entropy is None else f"{run.label_entropy:.3f}",
        "–" if run.confidence_entropy is None else f"{run.confidence_entropy.value:.3f}",
    )


def _memorising(name: str, run: Memorising) -> tuple[str, ...]:
    return (
        name,
        f"{run.pixel_ratio:.2f}",
        f"{100 * run.pixel_close:.1f} %",
        f"{run.feature_ratio:.2f}",
        f"{100 * run.feature_close:.1f} %",
        f"{run.copies}",
    )


def _binary(plan: Mapping[str, Any]) -> bool:
    return plan.get("scheduler") == BERNOULLI


def _arm(arm: ArmResult, binary: bool) -> tuple[str | Cell, ...]:
    bits = arm.runs[0].bits_per_picture
    return (
        arm.name,
        arm.training,
        arm.sampling,
        arm.conditioning,
        "–" if binary else f"{arm.bits_per_normal}",
        si(bits, "bit") if bits else "–",
        Cell("; ".join(run.seed_or_lease for run in arm.runs), "why"),
    )


def _number(value: float) -> str:
    size = abs(value)
    text = f"{size:.0f}" if size >= 100 else f"{size:.3g}" if size >= 0.001 else f"{size:.4f}"
    return f"−{text}" if value < 0 else text


def _interval(estimate: Interval | Point) -> str:
    return f"{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"
