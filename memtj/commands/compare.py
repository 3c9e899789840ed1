"""`memtj compare`: pictures from the array's noise and from others', what they score, and what their bits are worth."""

import contextlib
import functools
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memtj._comparison_origin import Origin, begun_with
from memtj._data import load_told
from memtj._errors import CommandError
from memtj._outputs import refuse_unwritable
from memtj._progress import ProgressDisplay, Task

if TYPE_CHECKING:
    from entropy import Store
    from sampler.comparison import ArmResult, FeatureExtractor, Plan, Reference, RunResult, StudyProgress


def compare(
    plan: Annotated[
        str, typer.Argument(metavar="PLAN", help="Plan file (TOML), or a shipped one: controls or array.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the comparison; it goes on with what is there.")],
    store: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="A store that the plan takes bits from; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Only this arm of the plan; repeatable.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="TorchScript Inception instead of the shipped digit features: makes it the FID."),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(help="Real pictures (npz or folder) to compare with; without it, the shipped digits."),
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Draw nothing: write the report of what is there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Run the arms of a plan and report what sets their pictures, and their bits, apart from software's."""
    from sampler.comparison import Study, check_plan

    chosen = _plan(plan)
    if report_only and not out.is_dir():
        raise CommandError(f"{out} does not exist: go on without --report-only.")
    refuse_unwritable(out)
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(ProgressDisplay())
        stores = _stores(store or [], chosen, report_only, stack)
        reference, extractor = _reference(features, real, chosen.bits)
        if not report_only:
            check_plan(chosen, extractor, stores, only)
        told = _Told(display)
        study = Study(chosen, out, reference, extractor, stores, told.progress)
        origin = begun_with(out)
        if not report_only:
            origin = origin.again(_command(plan, out, store or [], features, real), stores.values())
            origin.write(out)
            _tell_bills(study.bills(only), stores, display)
        results = study.results() if report_only else study.run(only)
        floor = study.real() if real is None else None
        if not results:
            raise CommandError(f"{out} holds no arm that is whole yet: go on without --report-only.")
        page = _write_report(out, chosen, results, floor, origin)
    outcome = {
        "out": str(out),
        "report": str(page),
        "arms": {arm.name: _verdicts(arm) for arm in results},
    }
    if as_json:
        print(json.dumps(outcome, allow_nan=False))
    else:
        _say(results)
        print(f"the report is {page}.")


class _Told:
    """One line of progress for each run."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display, self._task, self._doing = display, None, ""

    def progress(self, state: "StudyProgress") -> None:
        if state.doing != self._doing or self._task is None:
            self._doing = state.doing
            self._display.say(f"{state.doing} ({state.runs_done} of {state.runs} runs are done)")
            self._task: Task | None = self._display.task(state.doing[:40], state.of, state.unit)
        self._task.advance_to(state.done)


def _tell_bills(bills: dict[str, int], stores: "dict[str, Store]", display: ProgressDisplay) -> None:
    for name, wanted in bills.items():
        free = stores[name].accounts().free
        display.say(f"bill: {wanted:,} recorded bits of store {name}, where {free:,} are free")
        if wanted > free:
            display.say(
                f"store {name} is {wanted - free:,} bits short: record more meanwhile, or the comparison ends "
                "where they do, and goes on when it is called again"
            )


def _plan(name: str) -> "Plan":
    from sampler.comparison import SHIPPED_PLANS, load_plan, shipped_plan

    path = Path(name)
    if name in SHIPPED_PLANS and not path.exists():
        return shipped_plan(name)
    if not path.exists():
        raise CommandError(
            f"{name} does not exist: name a plan file, or one of the shipped ones ({', '.join(SHIPPED_PLANS)})."
        )
    return load_plan(path)


def _stores(
    named: Sequence[str], plan: "Plan", report_only: bool, stack: contextlib.ExitStack
) -> "dict[str, Store]":
    from entropy import Store

    found = {}
    for text in named:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise CommandError(f"--store {text!r} is not NAME=FOLDER: the plan names {_names(plan.stores)}.")
        if name not in plan.stores:
            raise CommandError(
                f"--store {name}=…: the plan takes no bits from a store of that name, only from {_names(plan.stores)}."
            )
        if not report_only:
            found[name] = stack.enter_context(Store(Path(folder), create=False))
    if report_only:
        return found
    for name in plan.stores:
        if name not in found:
            raise CommandError(
                f"the plan takes bits from a store called {name}: say which, --store {name}=FOLDER."
            )
    return found


def _names(stores: Sequence[str]) -> str:
    return ", ".join(stores) if stores else "no store"


def _reference(
    features: Path | None, real: Path | None, bits: bool
) -> "tuple[Callable[[], Reference], FeatureExtractor]":
    from sampler.comparison import (
        as_bits,
        digit_features,
        digit_reference,
        make_reference,
        torchscript_features,
    )

    extractor = digit_features() if features is None else torchscript_features(features)
    if real is None:
        return functools.partial(digit_reference, extractor, bits), extractor
    images = load_told(real).images
    return functools.partial(
        make_reference,
        f"{len(images):,} pictures of {real.name}" + (", in black and white" if bits else ""),
        as_bits(images) if bits else images,
        extractor,
    ), extractor


def _verdicts(arm: "ArmResult") -> dict[str, object]:
    frechet = [run.evaluation.frechet for run in arm.runs]
    claims = [run.raw_claim for run in arm.runs if run.raw_claim is not None]
    return {
        "frechet": frechet,
        "against": arm.against or None,
        "pictures": None if arm.comparison is None else arm.comparison.verdict,
        "raw_bits_min_entropy": min((claim["min_entropy"] for claim in claims), default=None),
        "raw_bits": "like ideal" if not any(claim["reasons"] for claim in claims) else "not ideal",
    }


def _command(plan: str, out: Path, stores: Sequence[str], features: Path | None, real: Path | None) -> str:
    """The command line that makes the comparison, or goes on with it."""
    words = ["memtj", "compare", plan, "--out", str(out)]
    for store in stores:
        words += ["--store", store]
    for option, path in (("--features", features), ("--real", real)):
        words += [] if path is None else [option, str(path)]
    return shlex.join(words)


def _write_report(
    out: Path, plan: "Plan", results: "Sequence[ArmResult]", floor: "RunResult | None", origin: Origin
) -> Path:
    from memtj.pages.comparison import write_page

    return write_page(
        out,
        plan,
        results,
        floor,
        stores=plan.stores,
        simulated=origin.simulated if plan.stores else None,
        commands=[origin.command] if origin.command else [],
    )


def _say(results: "Sequence[ArmResult]") -> None:
    for arm in results:
        found = _verdicts(arm)
        scores = ", ".join(f"{value:.1f}" for value in found["frechet"])  # pyright: ignore[reportGeneralTypeIssues]
        verdict = "others are held against it"
        if arm.against:
            verdict = f"pictures {found['pictures'] or 'not compared yet'} (held against {arm.against})"
        print(
            f"{arm.name}: {arm.runs[0].evaluation.distance} {scores}; {verdict}; "
            f"raw bits {found['raw_bits']}, {found['raw_bits_min_entropy']:.2f} bit of min-entropy each"
        )
