"""The page of a comparison: self-contained HTML that shows both verdicts, of pictures and of raw bits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from memtj._quantities import si
from memtj.pages import _comparison_figures as figures
from memtj.pages._comparison_figures import Level, Point
from memtj.pages._render import render_page
from sampler import write_whole
from sampler.comparison import ArmResult, Interval, RunResult, arm_frechet, bootstrap_key, holm

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
    return render_page(
        "comparison.html",
        title=f"Comparison of noise: {plan['name']}",
        simulated=report.get("simulated") is not False,
        badge=_badge(report.get("simulated"), report.get("stores", [])),
        summary=_summary(arms),
        facts=_facts(plan, arms, points, floor),
        distance=first.distance,
        reference=first.reference,
        overview=figures.overview(list(points.values()), level, first.distance),
        verdicts=_verdicts(arms),
        margin=f"{plan['margin']:g}",
        curves=_curves(arms, points, level, first.distance),
        measures=_measures(arms, floor),
        memorising=_memorising(arms),
        sheets=_sheets(arms, floor),
        seeds=_seeds(arms),
        setup=_setup(report, first.extractor, first.extractor_sha256),
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
    found = {arm.name: _frechet(arm) for arm in arms}
    return {arm.name: _point(arm, found) for arm in arms}


def _frechet(arm: ArmResult) -> Interval:
    return arm_frechet([run.evaluation for run in arm.runs], bootstrap_key("page", arm.name))


def _point(arm: ArmResult, distances: Mapping[str, Interval]) -> Point:
    own, against = distances[arm.name], arm.against or arm.name
    return Point(
        arm.name,
        float("nan") if arm.parameter is None else arm.parameter,
        own.value,
        own.low,
        own.high,
        "" if not arm.against else "undecided" if arm.comparison is None else arm.comparison.verdict,
        _min_entropy(arm),
        any(claim["reasons"] for claim in _claims(arm)),
        _series(arm),
        against,
        distances[against].value if against in distances else None,
    )


def _series(arm: ArmResult) -> str:
    """Which curve of its group an arm is a point of: what else than the parameter differs."""
    said = [] if arm.conditioning == "none" else [arm.conditioning]
    if arm.bits_per_normal != 32 and arm.group != "width":
        said.append(f"{arm.bits_per_normal} bit{'s' if arm.bits_per_normal > 1 else ''} a normal")
    return ", ".join(said)


def _claims(arm: ArmResult) -> list[Mapping[str, Any]]:
    return [run.raw_claim for run in arm.runs if run.raw_claim is not None]


def _min_entropy(arm: ArmResult) -> float | None:
    return min((float(claim["min_entropy"]) for claim in _claims(arm)), default=None)


def _badge(simulated: bool | None, stores: Sequence[str]) -> str:
    if simulated is None and not stores:
        return "SOFTWARE BITS ALONE"
    return {True: "SIMULATED ARRAY", False: "PHYSICAL ARRAY", None: "ORIGIN OF THE ARRAY'S BITS UNKNOWN"}[
        simulated
    ]


def _summary(arms: Sequence[ArmResult]) -> str:
    compared = [arm for arm in arms if arm.comparison is not None]
    if not compared:
        return "No arm is compared with another one yet."
    count = {
        verdict: sum(arm.comparison is not None and arm.comparison.verdict == verdict for arm in compared)
        for verdict in ("equivalent", "different", "undecided")
    }
    said = (
        f"Of {len(compared)} compared arms, {count['equivalent']} draw pictures equivalent to those that they are held "
        "against, "
        f"{count['different']} draw different ones, and {count['undecided']} are undecided."
    )
    hidden = [
        arm.name
        for arm in compared
        if arm.comparison is not None
        and arm.comparison.verdict == "equivalent"
        and any(claim["reasons"] for claim in _claims(arm))
    ]
    if hidden:
        said += (
            f" Equivalent pictures from raw bits that are NOT ideal: {', '.join(hidden)}. Pictures alone never prove "
            "randomness."
        )
    return said


def _facts(
    plan: Mapping[str, Any], arms: Sequence[ArmResult], points: Mapping[str, Point], floor: RunResult | None
) -> list[dict[str, str]]:
    powers = [arm.comparison.equivalence.power for arm in arms if arm.comparison is not None]
    facts = [
        {
            "name": "pictures",
            "value": f"{arms[0].runs[0].evaluation.n:,} a run",
            "note": f"{str(plan.get('scheduler', '')).upper()}, {plan.get('steps', '?')} steps",
        },
        {"name": "margin", "value": f"± {plan['margin']:g}", "note": "fixed before the pictures were drawn"},
    ]
    if powers:
        facts.append(
            {
                "name": "power of the equivalence test",
                "value": _range([f"{power:.2f}" for power in (min(powers), max(powers))]),
                "note": "if an arm is truly equal",
            }
        )
    for name in dict.fromkeys(arm.against for arm in arms):
        if name in points:
            found = Interval(points[name].value, points[name].low, points[name].high)
            facts.append({"name": name, "value": _interval(found), "note": "what others are held against"})
    if floor is not None:
        found = floor.evaluation
        facts.append(
            {
                "name": "real pictures",
                "value": _interval(found.frechet_interval),
                "note": f"{found.n:,} others: the floor",
            }
        )
    return facts


def _verdicts(arms: Sequence[ArmResult]) -> list[dict[str, Any]]:
    compared = [arm.comparison.difference.p_value for arm in arms if arm.comparison is not None]
    adjusted = iter(holm(np.array(compared)).tolist())
    rows = []
    for arm in arms:
        row: dict[str, Any] = {
            "name": arm.name,
            "against": arm.against or "–",
            "verdict": "not compared yet" if arm.against else "baseline",
            "class": "",
            "difference": "",
            "p": "",
            "power": "",
        }
        if arm.comparison is not None:
            same, other = arm.comparison.equivalence, arm.comparison.difference
            row |= {
                "verdict": arm.comparison.verdict,
                "class": arm.comparison.verdict,
                "difference": f"{_number(same.difference)} [{_number(same.low)}, {_number(same.high)}]",
                "p": f"{_p(other.p_value)} ({_p(next(adjusted))})",
                "power": f"{same.power:.2f}; {_number(same.detectable_80)}",
            }
        rows.append(row | _raw_verdict(arm))
    return rows


def _raw_verdict(arm: ArmResult) -> dict[str, Any]:
    claims = _claims(arm)
    if not claims:
        return {"raw": "not judged", "raw_bad": False, "entropy": "–", "why": ""}
    worst = min(claims, key=lambda claim: (not claim["reasons"], claim["min_entropy"]))
    bad = bool(worst["reasons"])
    return {
        "raw": "NOT ideal" if bad else "like ideal bits",
        "raw_bad": bad,
        "entropy": f"{worst['min_entropy']:.2f}",
        "why": "; ".join([f"{si(worst['bits'], 'bit')} judged", *worst["reasons"]]),
    }


def _curves(
    arms: Sequence[ArmResult], points: Mapping[str, Point], level: Level, label: str
) -> list[dict[str, str]]:
    drawn = []
    for group, (x_label, caption) in _CURVES.items():
        shift = 0.5 if group == "bias" else 0.0
        own = [
            replace(points[arm.name], x=abs(arm.parameter - shift))
            for arm in arms
            if arm.group == group and arm.parameter is not None
        ]
        if own:
            drawn.append({"uri": figures.curve(own, level, label, x_label), "caption": caption})
    drawn += _width_curves(arms_of_figure(arms, "width"), points, level, label)
    for group, caption in _PLAIN.items():
        own = [points[arm.name] for arm in arms_of_figure(arms, group)]
        if own:
            drawn.append({"uri": figures.categories(own, level, label), "caption": caption})
    return drawn


def _width_curves(
    arms: Sequence[ArmResult], points: Mapping[str, Point], level: Level, label: str
) -> list[dict[str, str]]:
    if not arms:
        return []
    width = [replace(points[arm.name], x=arm.bits_per_normal) for arm in arms]
    drawn = [
        {
            "uri": figures.curve(width, level, label, "bits per normal number", base=2),
            "caption": "How few bits a normal number may be made of.",
        }
    ]
    most = max(arm.runs[0].bits_per_picture for arm in arms)
    unit, scale = ("Mbit", 1e6) if most >= 1e6 else ("kbit", 1e3)
    bill = [replace(points[arm.name], x=arm.runs[0].bits_per_picture / scale) for arm in arms]
    if all(point.x > 0 for point in bill):
        drawn.append(
            {
                "uri": figures.curve(bill, level, label, f"raw bits that a picture takes ({unit})"),
                "caption": "The same against the bill: what one picture reads.",
            }
        )
    return drawn


def _measures(arms: Sequence[ArmResult], floor: RunResult | None) -> list[dict[str, str]]:
    rows = [_measure(f"{arm.name}{_run_number(arm, run)}", run) for arm in arms for run in arm.runs]
    return rows if floor is None else [*rows, _measure("real pictures", floor)]


def _run_number(arm: ArmResult, run: RunResult) -> str:
    return f", run {arm.runs.index(run) + 1}" if len(arm.runs) > 1 else ""


def _measure(name: str, run: RunResult) -> dict[str, str]:
    found = run.evaluation
    return {
        "name": name,
        "frechet": _number(found.frechet),
        "corrected": _interval(found.frechet_interval),
        "kernel": f"{found.kernel:.4f} ± {found.kernel_error:.4f}",
        "precision": f"{found.precision.value:.3f}",
        "recall": f"{found.recall:.3f}",
        "accuracy": "–" if found.accuracy is None else f"{100 * found.accuracy.value:.1f} %",
        "labels": "–" if found.label_entropy is None else f"{found.label_entropy:.3f}",
        "confidence": "–" if found.confidence_entropy is None else f"{found.confidence_entropy.value:.3f}",
    }


def _memorising(arms: Sequence[ArmResult]) -> list[dict[str, str]]:
    rows = []
    for arm in arms:
        for run in arm.runs:
            found = run.evaluation.memorising
            if found is not None:
                rows.append(
                    {
                        "name": f"{arm.name}{_run_number(arm, run)}",
                        "pixel": f"{found.pixel_ratio:.2f}",
                        "pixel_close": f"{100 * found.pixel_close:.1f} %",
                        "feature": f"{found.feature_ratio:.2f}",
                        "feature_close": f"{100 * found.feature_close:.1f} %",
                        "copies": f"{found.copies}",
                    }
                )
    return rows


def _sheets(arms: Sequence[ArmResult], floor: RunResult | None) -> list[dict[str, str]]:
    runs = [(arm.name, arm.runs[0].sheet_png) for arm in arms]
    if floor is not None:
        runs.append(("real pictures", floor.sheet_png))
    return [
        {"name": name, "uri": f"data:image/png;base64,{sheet}"} for name, sheet in runs if sheet is not None
    ]


def _seeds(arms: Sequence[ArmResult]) -> list[dict[str, str]]:
    return [
        {
            "name": arm.name,
            "training": arm.training,
            "sampling": arm.sampling,
            "conditioning": arm.conditioning,
            "width": f"{arm.bits_per_normal}",
            "bill": si(arm.runs[0].bits_per_picture, "bit") if arm.runs[0].bits_per_picture else "–",
            "runs": "; ".join(run.seed_or_lease for run in arm.runs),
        }
        for arm in arms
    ]


def _setup(report: Mapping[str, Any], extractor: str, sha256: str) -> list[dict[str, str]]:
    plain = {k: v for k, v in report["plan"].items() if isinstance(v, str | int | float | bool)}
    return [
        *({"name": key.replace("_", " "), "value": f"{value}"} for key, value in plain.items()),
        {"name": "feature extractor", "value": f"{extractor}, SHA-256 {sha256}"},
    ]


def _number(value: float) -> str:
    size = abs(value)
    text = f"{size:.0f}" if size >= 100 else f"{size:.3g}" if size >= 0.001 else f"{size:.4f}"
    return f"−{text}" if value < 0 else text


def _interval(found: Interval) -> str:
    return f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"


def _p(value: float) -> str:
    return f"{value:.2g}"


def _range(texts: Sequence[str]) -> str:
    return " … ".join(dict.fromkeys(texts))
