"""`memtj assess`: how much entropy recorded bits hold, by which tests."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memtj._errors import CommandError
from memtj._options import Form, bits_option
from memtj._outputs import refuse_no_page
from memtj._progress import ProgressDisplay, Task
from memtj._quantities import si

if TYPE_CHECKING:
    import numpy as np

    from entropy.quality.assessment import Assessment

_UNITS = {"permutations": "permutations", "estimators": "parts", "windows": "windows"}
_LEAST_SEQUENCE = 100  # bits, SP 800-22 section 2.1.7
_QUICK_SEQUENCES, _QUICK_WINDOWS, _QUICK_IDEAL = 10, 4, 2


def assess(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="STORE|FILE", help="Folder of a store, or a file of bits (packed, or a byte a bit)."
        ),
    ],
    page: Annotated[
        Path | None,
        typer.Option(help="Page to write, replaced where it exists [assessment.html; none with --json]."),
    ] = None,
    recording: Annotated[
        str | None, typer.Option(help="Only this recording of the store: its uuid, or the beginning of it.")
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--as", help="Form of the file: packed, bytes (text, too) or npy; looked at without it."
        ),
    ] = None,
    claim: Annotated[
        float | None,
        typer.Option(help="Min-entropy per raw bit that is claimed; exit code 1 if not supported."),
    ] = None,
    bits: Annotated[
        int, typer.Option(parser=bits_option, help="Bits for the ten estimators; more can support more.")
    ] = 1_000_000,
    windows: Annotated[int, typer.Option(min=0, max=1000, help="Windows over the recording.")] = 12,
    sequences: Annotated[
        int, typer.Option(min=1, max=100_000, help="Sequences for SP 800-22, if there are so many bits.")
    ] = 55,
    sequence_bits: Annotated[
        int, typer.Option(parser=bits_option, help="Bits of each of those sequences.")
    ] = 1_000_000,
    conditioning: Annotated[
        str, typer.Option(help="Assess the bits after it, too: none, xor2, xor3 …")
    ] = "xor2",
    cells: Annotated[bool, typer.Option(help="Look at the cells of a store one by one.")] = True,
    iid: Annotated[
        bool,
        typer.Option("--iid", help="Permutation tests too: seconds for bits that pass, else many minutes."),
    ] = False,
    restarts: Annotated[
        Path | None, typer.Option(help="File of 1,000 restarts, 1,000 bits each, one after the other.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: fewer windows and sequences, no conditioning.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Estimate the min-entropy of recorded bits, test them, and write a page with figures; no bit is spent."""
    from entropy import conditioning_from_name
    from entropy.quality.assessment import Settings, StoreSubject, credit
    from entropy.quality.assessment import assess as run
    from entropy.quality.iid import PERMUTATIONS
    from memtj.pages.assessment_words import as_json as to_json

    if claim is not None and not 0 < claim <= 1:
        raise CommandError(f"--claim {claim:g} is no min-entropy of a bit: it is above 0 and at most 1.")
    if sequence_bits < _LEAST_SEQUENCE:
        raise CommandError(
            f"--sequence-bits {sequence_bits} is too few: SP 800-22 takes {_LEAST_SEQUENCE} or more."
        )
    settings = Settings(
        bits=bits,
        windows=min(windows, _QUICK_WINDOWS) if quick else windows,
        sequences=min(sequences, _QUICK_SEQUENCES) if quick else sequences,
        sequence_bits=sequence_bits,
        ideal=_QUICK_IDEAL if quick else 4,
        cells=cells,
        permutations=PERMUTATIONS if iid else 0,
        claim=claim,
        conditioning=conditioning_from_name("none" if quick else conditioning),
    )
    if page is None and not as_json:
        page = Path("assessment.html")
    if page is not None:
        refuse_no_page(page)
    matrix = None if restarts is None else _matrix(restarts)
    with contextlib.ExitStack() as stack:
        chosen = _subject(subject, recording, form, stack)
        display = stack.enter_context(ProgressDisplay())
        tasks: dict[str, Task] = {}

        def progress(stage: str, done: float, of: float) -> None:
            if stage not in tasks:
                tasks[stage] = display.task(stage, of, _UNITS.get(stage, "sequences"))
            tasks[stage].advance_to(done)

        found = run(chosen, settings, restarts=matrix, progress=progress)
        if page is not None:
            from memtj.pages.assessment import write_page

            write_page(page, found)
        if as_json:
            print(json.dumps(to_json(found), allow_nan=False))
        else:
            _say(found, page)
        if isinstance(chosen, StoreSubject) and not chosen.store.read_only:
            credit(found, chosen)
    if found.supported is False:
        raise typer.Exit(1)


def _subject(path: Path, recording: str | None, form: Form | None, stack: contextlib.ExitStack):
    """Open a store, or a file of bits."""
    from entropy import Store
    from entropy.quality.assessment import FileSubject, StoreSubject

    if path.is_dir():
        if form is not None:
            raise CommandError(f"{path} is a folder and --as is for files: leave it out.")
        read_only = not os.access(path, os.W_OK)
        if read_only:
            print(
                f"memtj: note: {path} is read-only: its bits are assessed and not credited.", file=sys.stderr
            )
        store = stack.enter_context(Store(path, create=False, read_only=read_only))
        return StoreSubject(store, recording)
    if recording is not None:
        raise CommandError(f"{path} is no store, so it has no recordings: leave --recording out.")
    if not path.exists():
        raise CommandError(f"{path} does not exist: name the folder of a store, or a file of bits.")
    return FileSubject(path, form)


def _matrix(path: Path) -> "np.ndarray":
    from entropy.quality.assessment import FileSubject
    from entropy.quality.restarts import SAMPLES

    if not path.is_file():
        raise CommandError(f"{path} does not exist: name a file of restarts, {SAMPLES:,} bits each.")
    file = FileSubject(path)
    if file.bits < SAMPLES or file.bits % SAMPLES:
        raise CommandError(
            f"{path} holds {file.bits:,} bits, which are no rows of {SAMPLES:,}: a matrix of restarts is {SAMPLES:,} "
            "bits of "
            "each restart, one after the other."
        )
    return file.read(0, file.bits).reshape(-1, SAMPLES)


def _say(found: "Assessment", page: Path | None) -> None:
    from memtj.pages.assessment_words import verdict

    print(found.origin)
    print(verdict(found))
    battery = found.sp800_22
    outcome = "what perfect bits may give" if battery.ok else "NOT what perfect bits give"
    print(
        f"SP 800-22, {battery.sequences} x {si(battery.bits, 'bit')}: {len(battery.criteria) - len(battery.failed)} "
        "of "
        f"{len(battery.criteria)} p-values meet the criteria, {outcome}."
    )
    if found.health is not None and not found.health.ok:
        print("health: the repetition-count or adaptive-proportion test raised an alarm.")
    if page is not None:
        print(f"the page is {page}.")
