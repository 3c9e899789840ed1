"""The page of an assessment: self-contained HTML with its figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from entropy.quality.assessment import Assessment, CellAssessment, autocorrelation
from entropy.quality.estimators import ESTIMATORS, MinEntropy
from entropy.quality.sp800_22 import TESTS, Battery, Criterion
from memtj._quantities import duration, si
from memtj.pages import _assessment_figures as figures
from memtj.pages._cell_map import as_map
from memtj.pages._figures import probability_map
from memtj.pages._render import render_page
from memtj.pages.assessment_words import verdict

_MEANINGS = {
    "most_common_value": "bias: one value is more frequent",
    "collision": "how soon a value repeats",
    "markov": "memory of the bit before",
    "compression": "patterns of six bits that return too soon",
    "t_tuple": "frequent strings",
    "lrs": "long repeated strings",
    "multi_mcw": "slow drift of the bias: the commonest value of the last 63 to 4,095 bits",
    "lag": "periods and echoes of up to 128 bits",
    "multi_mmc": "memory of up to 16 bits",
    "lz78y": "strings of up to 16 bits, by a dictionary",
}


def write_page(path: Path, found: Assessment) -> None:
    """Write the page of an assessment."""
    by_order = _estimates(found)
    batteries = [(found.sp800_22, "raw bits")]
    if found.cells is not None:
        batteries.append((found.cells.sp800_22, "raw bits, cell by cell"))
    if found.conditioned is not None:
        batteries.append((found.conditioned.sp800_22, f"after {found.conditioned.name}"))
    page = render_page(
        "assessment.html",
        title="Assessment of raw bits",
        name=found.name,
        available=f"{found.available:,}",
        simulated=found.simulated is not False,
        badge={True: "SIMULATED", False: "PHYSICAL ARRAY", None: "ORIGIN UNKNOWN"}[found.simulated],
        origin=found.origin,
        verdict=verdict(found),
        facts=_facts(found),
        orders=_orders(found),
        estimators=_estimator_table(by_order, found),
        over_time=_over_time(found),
        cells=None if found.cells is None else _cells(found.cells),
        autocorrelation=figures.autocorrelation(_correlations(found)),
        autocorrelation_note=_correlation_note(found),
        p_values=figures.p_values({label: _all_p_values(battery) for battery, label in batteries}),
        batteries=[_battery(battery, label) for battery, label in batteries],
        checks=[*_health(found), *_iid(found), *_restarts(found)],
        notes=found.notes,
    )
    path.write_text(page, encoding="utf-8")


def _estimates(found: Assessment) -> dict[str, MinEntropy]:
    by_order = {"as recorded": found.raw}
    if found.cells is not None:
        by_order["cell by cell"] = found.cells.by_cell
    if found.conditioned is not None:
        by_order[f"after {found.conditioned.name}"] = found.conditioned.min_entropy
    return by_order


def _orders(found: Assessment) -> str:
    said = f"{found.bits:,} bits each."
    if found.cells is not None:
        said += (
            " As recorded, neighbouring cells follow each other and a cell comes again only after "
            f"{len(found.cells.markov):,} "
            "bits, farther than the estimators look; cell by cell, the outcomes of one cell stand in a row, so that "
            "what it "
            "remembers shows."
        )
    return said


def _facts(found: Assessment) -> list[dict[str, str]]:
    ones = found.windows or None
    facts = [
        {"name": "lowest estimate", "value": f"{found.original:.3f} bit", "note": "min-entropy per raw bit"},
        {
            "name": "as many perfect bits",
            "value": f"{min(found.ideal):.3f} … {max(found.ideal):.3f}" if found.ideal else "not looked at",
            "note": f"lowest of ten, {len(found.ideal)} software sequences",
        },
        {"name": "claim", "value": "none" if found.claim is None else f"{found.claim:g} bit", "note": ""},
    ]
    if ones:
        mean = float(np.mean([window.ones for window in ones]))
        facts.append({"name": "share of ones", "value": f"{mean:.5f}", "note": f"{len(ones)} windows"})
    battery = found.sp800_22
    facts.append(
        {
            "name": "SP 800-22",
            "value": "consistent" if battery.ok else "NOT ideal bits",
            "note": f"raw, {battery.sequences} x {si(battery.bits, 'bit')}",
        }
    )
    return facts


def _estimator_table(by_order: dict[str, MinEntropy], found: Assessment) -> dict[str, Any]:
    plain = {label: {name: getattr(each, name) for name in ESTIMATORS} for label, each in by_order.items()}
    return {
        "figure": figures.estimator_bars(plain, found.ideal, found.claim),
        "labels": list(by_order),
        "rows": [
            {
                "name": name.replace("_", " "),
                "figures": [f"{values[name]:.4f}" for values in plain.values()],
                "meaning": _MEANINGS[name],
            }
            for name in ESTIMATORS
        ],
        "lowest": [f"{each.assessed:.4f}" for each in by_order.values()],
    }


def _over_time(found: Assessment) -> dict[str, str] | None:
    if len(found.windows) < 2:
        return None
    last = found.windows[-1].seconds
    spread = f" over {duration(last)}" if last else ""
    ones = np.array([window.ones for window in found.windows])
    sigma = 0.5 / np.sqrt(found.windows[0].bits)
    drift = float(np.ptp(ones))
    return {
        "figure": figures.over_time(found.windows, found.windows_ideal),
        "note": (
            f"{len(found.windows)} windows of {found.windows[0].bits:,} bits, spread evenly{spread}; error bars are "
            "95 %. "
            f"The share of ones moved by {drift:.5f} between the windows, where {len(ones)} of perfect bits would "
            "differ by "
            f"about {_range_of_normals(len(ones)) * sigma:.5f}."
        ),
    }


def _range_of_normals(count: int) -> float:
    """Give the mean range of so many normals, in standard deviations; seeded, to two digits."""
    return float(np.ptp(np.random.default_rng(0).standard_normal((4000, count)), axis=1).mean())


def _cells(cells: CellAssessment) -> dict[str, Any]:
    statistics = cells.statistics
    each = statistics.counts[statistics.counts > 0]
    note = (
        f"{np.count_nonzero(statistics.counts):,} of {len(statistics.counts):,} cells gave bits, {each.mean():,.0f} "
        "each in "
        "what was counted. Estimates of single cells are low where bits are few: each bound leaves room for chance. "
        "The "
        f"sequence that stands cell by cell is of {len(cells.sample):,} cells."
    )
    rows = [
        _spread("share of ones", statistics.p1, "every cell"),
        _spread("lag-1 correlation", statistics.lag1, "every cell"),
        _spread("most common value", cells.most_common_value, "every cell, min-entropy"),
        _spread("Markov", cells.markov, "every cell, min-entropy"),
    ]
    if cells.single is not None:
        values = np.array([single.assessed for single in cells.single])
        rows.append(
            _spread(
                "lowest of ten",
                values,
                f"{len(values)} cells of {int(cells.lengths.min()):,} bits, min-entropy",
            )
        )
    both = np.fmin(cells.markov, cells.most_common_value)
    return {
        "note": note,
        "rows": rows,
        "figures": [
            {
                "uri": probability_map(as_map(statistics.cells, statistics.p1)),
                "caption": "Share of ones of every cell.",
            },
            {
                "uri": figures.entropy_map(as_map(statistics.cells, both), "min-entropy per bit"),
                "caption": "Min-entropy of every cell: the lower of most common value and Markov estimate.",
            },
        ],
    }


def _spread(name: str, values: np.ndarray, of: str) -> dict[str, str]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"name": name, "low": "–", "median": "–", "high": "–", "of": of}
    low, median, high = (f"{value:.4f}" for value in (finite.min(), np.median(finite), finite.max()))
    return {"name": name, "low": low, "median": median, "high": high, "of": of}


def _correlations(found: Assessment) -> dict[str, tuple[np.ndarray, int]]:
    values = {"as recorded": (found.autocorrelation, found.bits)}
    if found.cells is not None:
        series = found.cells.series
        values["cell by cell"] = (autocorrelation(series, len(found.autocorrelation)), len(series))
    return values


def _correlation_note(found: Assessment) -> str:
    said = "Bars outside the grey range (99.99 % of independent bits) are correlation."
    if found.cells is not None:
        said += (
            " Cell by cell, cells of unlike bias give a floor that does not fall with the lag; memory falls."
        )
    return said


def _all_p_values(battery: Battery) -> np.ndarray:
    return np.concatenate([criterion.p_values for criterion in battery.criteria])


def _battery(battery: Battery, label: str) -> dict[str, Any]:
    expected = len(battery.criteria)
    failed = len(battery.failed)
    said = (
        f"{battery.sequences} sequence{'s' * (battery.sequences != 1)} of {battery.bits:,} bits, {expected} kinds of "
        f"p-values, of which {failed} "
        "miss a "
        "criterion. "
    )
    said += (
        "All together this is what perfect bits may give."
        if battery.ok
        else f"Perfect bits would do so badly with a probability below {max(battery.chance, 1e-300):.1g}."
    )
    if battery.sequences < 55:
        said += " Uniformity takes 55 sequences."
    for why in battery.skipped.values():
        said += f" Not run: {why}."
    return {
        "title": f"{label[0].upper()}{label[1:]}",
        "summary": said,
        "rows": [
            _test_row(test, [c for c in battery.criteria if c.test == test])
            for test in TESTS
            if any(c.test == test for c in battery.criteria)
        ],
    }


def _test_row(test: str, criteria: list[Criterion]) -> dict[str, Any]:
    worst = min(criteria, key=lambda criterion: criterion.proportion - criterion.least)
    uniform = [c.uniformity for c in criteria if c.uniformity is not None]
    missed = sum(not c.proportion_ok or c.uniform_ok is False for c in criteria)
    return {
        "name": test.replace("_", " "),
        "count": len(criteria),
        "proportion": f"{worst.passed}/{len(worst.p_values)}",
        "least": f"{worst.least:.4f}",
        "uniformity": f"{min(uniform):.4f}" if uniform else "–",
        "verdict": "met" if not missed else f"{missed} of {len(criteria)} missed",
        "bad": missed > 0,
    }


def _row(name: str, value: str, limit: str, good: bool | None, outcome: str | None = None) -> dict[str, Any]:
    words: Callable[[bool | None], str] = {True: "passed", False: "FAILED", None: "undecided"}.__getitem__
    return {
        "name": name,
        "value": value,
        "limit": limit,
        "outcome": outcome or words(good),
        "bad": good is False,
    }


def _health(found: Assessment) -> list[dict[str, Any]]:
    health = found.health
    if health is None:
        return [_row("health tests", "–", "–", False, "no min-entropy is left to set their limits by")]
    given = f"for {health.min_entropy:.3f} bit, {health.bits:,} bits"
    return [
        _row(
            f"longest repetition ({given})",
            f"{health.longest_repetition}",
            f"below {health.repetition_cutoff}",
            health.repetition_alarms == 0,
        ),
        _row(
            f"adaptive proportion, windows of {health.window:,} ({given})",
            f"{health.highest_proportion}",
            f"below {health.proportion_cutoff}",
            health.proportion_alarms == 0,
        ),
    ]


def _iid(found: Assessment) -> list[dict[str, Any]]:
    rows = [
        _row(name, f"p = {test.p_value:.4g}", "0.001", test.passed)
        for name, test in (
            ("independence, χ² (5.2.3)", found.independence),
            ("same share of ones in ten parts, χ² (5.2.4)", found.goodness_of_fit),
            (f"longest repeat, {found.longest_repeat.length} bits (5.2.5)", found.longest_repeat),
        )
    ]
    permuted = found.permutations
    if permuted is None:
        return [*rows, _row("permutation tests (5.1)", "–", "–", None, "not run: --iid runs them")]
    outside = ", ".join(permuted.outliers).replace("_", " ") or "none"
    return [
        *rows,
        _row(
            f"permutation tests (5.1), {permuted.permutations:,} permutations",
            f"outside: {outside}",
            "none",
            permuted.passed,
        ),
    ]


def _restarts(found: Assessment) -> list[dict[str, Any]]:
    restarts = found.restarts
    if restarts is None:
        return [_row("restart tests (3.1.4)", "–", "–", None, "not run")]
    size = f"{restarts.rows:,} x {restarts.columns:,}"
    lowest = min(restarts.by_row.assessed, restarts.by_column.assessed)
    return [
        _row(
            f"restarts {size}: most frequent value", f"{restarts.most}", f"{restarts.cutoff}", restarts.sane
        ),
        _row(
            f"restarts {size}: estimate along rows, columns",
            f"{restarts.by_row.assessed:.3f}, {restarts.by_column.assessed:.3f}",
            f"{restarts.initial / 2:.3f}",
            lowest >= restarts.initial / 2,
        ),
    ]
