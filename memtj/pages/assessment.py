"""The page of an assessment: self-contained HTML with its figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entropy.quality.assessment import Assessment, CellAssessment, autocorrelation
from entropy.quality.estimators import MinEntropy
from entropy.quality.sp800_22 import TESTS, Battery, Criterion
from memtj._quantities import duration, si
from memtj.pages import _assessment_figures as figures
from memtj.pages._figure import as_map, entropy_map, probability_map
from memtj.pages._render import Cell, failing, render_page
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


def write_page(path: Path, assessment: Assessment) -> None:
    """Write the page of an assessment."""
    cells, conditioned = assessment.cells, assessment.conditioned
    estimates = {"as recorded": assessment.raw}
    batteries = {"raw bits": assessment.sp800_22}
    if cells is not None:
        estimates["cell by cell"] = cells.by_cell
        batteries["raw bits, cell by cell"] = cells.sp800_22
    if conditioned is not None:
        estimates[f"after {conditioned.name}"] = conditioned.min_entropy
        batteries[f"after {conditioned.name}"] = conditioned.sp800_22
    p_values = {
        label: np.concatenate([criterion.p_values for criterion in battery.criteria])
        for label, battery in batteries.items()
    }
    page = render_page(
        "assessment.html",
        title="Assessment of raw bits",
        lead=f"{assessment.name}: {assessment.available:,} recorded bits; reading them for this page spent none.",
        simulated=assessment.simulated is not False,
        origin={True: "SIMULATED", False: "PHYSICAL ARRAY", None: "ORIGIN UNKNOWN"}[assessment.simulated],
        origin_note=assessment.origin,
        verdict=verdict(assessment),
        highlights=_highlights(assessment),
        orders=_orders(assessment),
        estimator_bars=figures.estimator_bars(estimates, assessment.ideal, assessment.claim),
        labels=list(estimates),
        estimators=_estimators(estimates),
        over_time=_over_time(assessment),
        cells=None if cells is None else _cells(cells),
        autocorrelation=figures.autocorrelation(_correlations(assessment)),
        autocorrelation_note=_correlation_note(assessment),
        p_values=figures.p_values(p_values),
        batteries=[_battery(battery, label) for label, battery in batteries.items()],
        checks=[*_health(assessment), *_independence(assessment), *_restarts(assessment)],
        notes=assessment.notes,
    )
    path.write_text(page, encoding="utf-8")


def _orders(assessment: Assessment) -> str:
    text = f"{assessment.bits:,} bits each."
    if assessment.cells is None:
        return text
    return (
        f"{text} As recorded, neighbouring cells follow each other and a cell comes again only after "
        f"{len(assessment.cells.markov):,} bits, farther than the estimators look; cell by cell, the outcomes of one "
        "cell stand in a row, so that what it remembers shows."
    )


def _highlights(assessment: Assessment) -> list[tuple[str, str, str]]:
    ideal, claim, battery = assessment.ideal, assessment.claim, assessment.sp800_22
    ones = [window.ones for window in assessment.windows]
    return [
        ("lowest estimate", f"{assessment.original:.3f} bit", "min-entropy per raw bit"),
        (
            "as many perfect bits",
            f"{min(ideal):.3f} … {max(ideal):.3f}" if ideal else "not looked at",
            f"lowest of ten, {len(ideal)} software sequences",
        ),
        ("claim", "none" if claim is None else f"{claim:g} bit", ""),
        *([("share of ones", f"{np.mean(ones):.5f}", f"{len(ones)} windows")] if ones else []),
        (
            "SP 800-22",
            "consistent" if battery.ok else "NOT ideal bits",
            f"raw, {battery.sequences} x {si(battery.bits, 'bit')}",
        ),
    ]


def _estimators(estimates: Mapping[str, MinEntropy]) -> list[tuple[str, ...]]:
    """Give a row for each estimator, and one for the lowest of them."""
    rows = [
        (name.replace("_", " "), *(f"{getattr(each, name):.4f}" for each in estimates.values()), meaning)
        for name, meaning in _MEANINGS.items()
    ]
    return [*rows, ("lowest", *(f"{each.assessed:.4f}" for each in estimates.values()), "")]


def _over_time(assessment: Assessment) -> dict[str, str] | None:
    windows = assessment.windows
    if len(windows) < 2:
        return None
    spread = f" over {duration(windows[-1].seconds)}" if windows[-1].seconds else ""
    sigma = 0.5 / np.sqrt(windows[0].bits)
    return {
        "figure": figures.over_time(windows, assessment.windows_ideal),
        "note": (
            f"{len(windows)} windows of {windows[0].bits:,} bits, spread evenly{spread}; error bars are 95 %. The "
            f"share of ones moved by {np.ptp([window.ones for window in windows]):.5f} between the windows, where "
            f"{len(windows)} of perfect bits would differ by about {_range_of_normals(len(windows)) * sigma:.5f}."
        ),
    }


def _range_of_normals(count: int) -> float:
    """Give the mean range of so many normals, in standard deviations; seeded, to two digits."""
    return float(np.ptp(np.random.default_rng(0).standard_normal((4000, count)), axis=1).mean())


def _cells(cells: CellAssessment) -> dict[str, Any]:
    statistics = cells.statistics
    bits_each = statistics.counts[statistics.counts > 0]
    rows = [
        _spread("share of ones", statistics.p1, "every cell"),
        _spread("lag-1 correlation", statistics.lag1, "every cell"),
        _spread("most common value", cells.most_common_value, "every cell, min-entropy"),
        _spread("Markov", cells.markov, "every cell, min-entropy"),
    ]
    if cells.single is not None:
        values = np.array([single.assessed for single in cells.single])
        of = f"{len(values)} cells of {int(cells.lengths.min()):,} bits, min-entropy"
        rows.append(_spread("lowest of ten", values, of))
    both = np.fmin(cells.markov, cells.most_common_value)
    return {
        "note": (
            f"{len(bits_each):,} of {len(statistics.counts):,} cells gave bits, {bits_each.mean():,.0f} each in what "
            "was counted. Estimates of single cells are low where bits are few: each bound leaves room for chance. "
            f"The sequence that stands cell by cell is of {len(cells.sample):,} cells."
        ),
        "rows": rows,
        "figures": [
            (probability_map(as_map(statistics.cells, statistics.p1)), "Share of ones of every cell."),
            (
                entropy_map(as_map(statistics.cells, both)),
                "Min-entropy of every cell: the lower of most common value and Markov estimate.",
            ),
        ],
    }


def _spread(name: str, values: NDArray[np.float64], of: str) -> tuple[str, ...]:
    """Give the row of a quantity that each cell has: lowest, median, highest."""
    finite = values[np.isfinite(values)]
    quantiles = [f"{value:.4f}" for value in np.quantile(finite, [0, 0.5, 1])] if finite.size else ["–"] * 3
    return name, *quantiles, of


def _correlations(assessment: Assessment) -> dict[str, tuple[NDArray[np.float64], int]]:
    values = {"as recorded": (assessment.autocorrelation, assessment.bits)}
    if assessment.cells is not None:
        series = assessment.cells.series
        values["cell by cell"] = (autocorrelation(series, len(assessment.autocorrelation)), len(series))
    return values


def _correlation_note(assessment: Assessment) -> str:
    text = "Bars outside the grey range (99.99 % of independent bits) are correlation."
    if assessment.cells is None:
        return text
    return f"{text} Cell by cell, cells of unlike bias give a floor that does not fall with the lag; memory falls."


def _battery(battery: Battery, label: str) -> tuple[str, str, list[tuple[str | Cell, ...]]]:
    """Give title, summary and rows of one run of SP 800-22."""
    summary = (
        f"{battery.sequences} sequence{'s' * (battery.sequences != 1)} of {battery.bits:,} bits, "
        f"{len(battery.criteria)} kinds of p-values, of which {len(battery.failed)} miss a criterion. "
    )
    summary += (
        "All together this is what perfect bits may give."
        if battery.ok
        else f"Perfect bits would do so badly with a probability below {max(battery.chance, 1e-300):.1g}."
    )
    if battery.sequences < 55:
        summary += " Uniformity takes 55 sequences."
    summary += "".join(f" Not run: {why}." for why in battery.skipped.values())
    by_test = {test: [each for each in battery.criteria if each.test == test] for test in TESTS}
    rows = [_test_row(test, criteria) for test, criteria in by_test.items() if criteria]
    return f"{label[0].upper()}{label[1:]}", summary, rows


def _test_row(test: str, criteria: list[Criterion]) -> tuple[str | Cell, ...]:
    worst = min(criteria, key=lambda criterion: criterion.proportion - criterion.least)
    uniform = [c.uniformity for c in criteria if c.uniformity is not None]
    missed = sum(not c.proportion_ok or c.uniform_ok is False for c in criteria)
    return (
        test.replace("_", " "),
        f"{len(criteria)}",
        f"{worst.passed}/{len(worst.p_values)}",
        f"{worst.least:.4f}",
        f"{min(uniform):.4f}" if uniform else "–",
        failing(f"{missed} of {len(criteria)} missed" if missed else "met", missed > 0),
    )


def _row(name: str, value: str, limit: str, good: bool | None) -> tuple[str | Cell, ...]:
    outcome = {True: "passed", False: "FAILED", None: "undecided"}[good]
    return name, value, limit, failing(outcome, good is False)


def _health(assessment: Assessment) -> list[tuple[str | Cell, ...]]:
    health = assessment.health
    if health is None:
        return [("health tests", "–", "–", failing("no min-entropy is left to set their limits by", True))]
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


def _independence(assessment: Assessment) -> list[tuple[str | Cell, ...]]:
    repeat, permuted = assessment.longest_repeat, assessment.permutations
    rows = [
        _row(name, f"p = {test.p_value:.4g}", "0.001", test.passed)
        for name, test in (
            ("independence, χ² (5.2.3)", assessment.independence),
            ("same share of ones in ten parts, χ² (5.2.4)", assessment.goodness_of_fit),
            (f"longest repeat, {repeat.length} bits (5.2.5)", repeat),
        )
    ]
    if permuted is None:
        return [*rows, ("permutation tests (5.1)", "–", "–", "not run: --iid runs them")]
    outside = ", ".join(permuted.outliers).replace("_", " ") or "none"
    name = f"permutation tests (5.1), {permuted.permutations:,} permutations"
    return [*rows, _row(name, f"outside: {outside}", "none", permuted.passed)]


def _restarts(assessment: Assessment) -> list[tuple[str | Cell, ...]]:
    restarts = assessment.restarts
    if restarts is None:
        return [("restart tests (3.1.4)", "–", "–", "not run")]
    size = f"{restarts.rows:,} x {restarts.columns:,}"
    by_row, by_column, least = restarts.by_row.assessed, restarts.by_column.assessed, restarts.initial / 2
    return [
        _row(
            f"restarts {size}: most frequent value", f"{restarts.most}", f"{restarts.cutoff}", restarts.sane
        ),
        _row(
            f"restarts {size}: estimate along rows, columns",
            f"{by_row:.3f}, {by_column:.3f}",
            f"{least:.3f}",
            min(by_row, by_column) >= least,
        ),
    ]
