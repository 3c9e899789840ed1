"""`memtj store`: what a store holds, whether it is sound, and its care."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import entropy
from memtj._answer import answer, columns, plain
from memtj._errors import CommandError
from memtj._options import NOTHING_CHANGED, AsJson, StorePath, Yes, bytes_option, duration_option
from memtj._outputs import refuse_unwritable
from memtj._quantities import si
from memtj.commands import store_export

_REWRITTEN = {"rewritten": "rewritten", "left": "left alone", "failed": "problem"}

app = typer.Typer(help="What a store holds, whether it is sound, and its care.", no_args_is_help=True)


@app.command("ls")
def ls(path: StorePath, as_json: AsJson = False) -> None:
    """List the buffers of a store, its accounts, and who holds, waits for or was promised bits."""
    with entropy.Store(path, read_only=True) as store:
        buffers, accounts = store.buffers(), store.accounts()
        leases, requests = store.leases(), store.requests()
    values = {"store": path, "buffers": plain(buffers), "accounts": asdict(accounts)}
    holders = {"leases": plain(leases), "requests": plain(requests)}

    def lines() -> Iterator[str]:
        yield columns(_buffer_rows(buffers), right=())
        totals = [("account", "bits"), *((name, f"{bits:,}") for name, bits in asdict(accounts).items())]
        yield "\n" + columns(totals, right=(1,))
        for shelf in sorted({str(buffer.path.parent) for buffer in buffers if _state(buffer) == "archived"}):
            yield f"archived buffers are in {shelf}"
        for lease in leases:
            yield f"leased: {lease.bits:,} bits by '{lease.purpose}' since {lease.taken[:19]}"
        for item in requests:
            yield f"{item.kind}: {item.outstanding:,} bits for '{item.purpose}' (process {item.pid})"

    answer(as_json, values | holders, lines())


def _buffer_rows(buffers: "list[entropy.BufferInfo]") -> list[tuple[str, ...]]:
    rows = [("buffer", "created (UTC)", "origin", "state", "blocks", "bits", "ones", "min-entropy")]
    for buffer in buffers:
        row = (
            buffer.path.name,
            buffer.created[:19],
            "simulated" if buffer.simulated else "device",
            _state(buffer),
            f"{buffer.blocks:,}",
            f"{buffer.bits:,}",
            f"{buffer.ones / buffer.bits:.5f}" if buffer.bits else "",
            "draws"
            if buffer.drawn
            else "not assessed"
            if buffer.min_entropy is None
            else f"{buffer.min_entropy:.4f}",
        )
        rows.append(row)
    return rows


def _state(buffer: "entropy.BufferInfo") -> str:
    if buffer.place is not None:
        return "deleted" if buffer.place == "deleted" else "archived"
    if not buffer.path.exists():
        return "missing"
    return "complete" if buffer.complete else "live" if buffer.live else "interrupted"


@app.command("conditioning")
def conditioning(
    path: StorePath,
    name: Annotated[
        str | None,
        typer.Argument(
            help="none, xor2, xor3 …, mask[:KEY], von-neumann, peres, toeplitz[:OUT/IN[:SEED]], sha256[:IN]."
        ),
    ] = None,
    own_seed: Annotated[
        bool,
        typer.Option(
            "--own-seed", help="Of toeplitz: draw the seed from the store's own bits, which it spends."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say, or choose, what stands between this store's bits and the noise where a command names no other.

    Conditioning takes bias away. It makes no entropy: health, assessments and claims are about the raw bits.
    """
    with entropy.Store(path, create=False, read_only=name is None) as store:
        if name is not None:
            chosen = entropy.conditioning_from_name(name)
            if own_seed:
                if not isinstance(chosen, entropy.Toeplitz):
                    raise CommandError(
                        f"--own-seed goes with toeplitz, not with {name}: leave one of them out."
                    )
                with store.lease(640, purpose="seed of a Toeplitz matrix") as lease:
                    seed = entropy.conditioning.own_seed(lease)
                    chosen = entropy.Toeplitz(chosen.n_out, chosen.n_in, seed)
            store.set_conditioning(chosen)
        elif own_seed:
            raise CommandError("--own-seed needs a name: memtj store conditioning STORE toeplitz --own-seed.")
        found = store.conditioning
    chosen = None if found is None else found.name
    line = chosen or "no conditioning was chosen: commands use xor2."
    answer(as_json, {"store": path, "conditioning": chosen}, [line])


@app.command("verify")
def verify(path: StorePath, as_json: AsJson = False) -> None:
    """Check every block against its row and the ledger and name what is wrong; exit code 1 if anything is."""
    from memtj._progress import ProgressDisplay

    with ProgressDisplay() as display:
        task = display.task("verifying", None, "B")
        report = entropy.verify(path, task.advance)
    verdict = "everything is sound" if report.ok else f"{len(report.problems)} problems"
    lines = [
        *(f"note: {note}" for note in report.notes),
        *(f"problem: {problem}" for problem in report.problems),
        f"{report.blocks:,} blocks, {report.bits:,} bits: {verdict}.",
    ]
    answer(as_json, {"store": path, "ok": report.ok, **asdict(report)}, lines)
    if not report.ok:
        raise typer.Exit(1)


@app.command("salvage")
def salvage(
    path: StorePath,
    unused: Annotated[
        bool,
        typer.Option(
            "--unused",
            help="Buffers that the ledger does not know were never used: enter their bits as free.",
        ),
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Bring a store in order after a crash or a lost ledger; nothing that is in order is changed.

    Files of killed recorders are closed properly, with every committed block. A damaged ledger is made
    anew with every state that its rows prove, and what they do not prove is burned. A lost one is made anew, and
    unknown buffers are entered: their bits count as burned, since nobody knows which were used. Recording and
    sampling go on after a crash without any of this. Where bits would be burned it is only said, without --yes, and
    nothing is done. Exit code 1 for that, and if something could not be helped.
    """
    from memtj._progress import ProgressDisplay

    if not yes:
        found = entropy.salvage(path, unused=unused, dry_run=True)
        if found.burned:
            answer(as_json, {"store": path, "dry_run": True, **asdict(found)}, _burning(found))
            raise typer.Exit(1)
    with ProgressDisplay() as display:
        task = display.task("salvaging", None, "B")
        report = entropy.salvage(path, unused=unused, progress=task.advance)
    answer(as_json, {"store": path, "dry_run": False, **asdict(report)}, _salvaged(report))
    if report.problems:
        raise typer.Exit(1)


def _burning(report: "entropy.SalvageReport") -> Iterator[str]:
    """Say why bits would be burned, and how many."""
    if report.ledger == "made":
        yield "there is no ledger: a new one would be made."
    if report.ledger == "replaced":
        yield f"the ledger is damaged; kept of it would be: {_kept(report)}."
    yield from (f"not kept: {sentence}." for sentence in report.lost)
    yield from (f"would be entered: {name}, {bits:,} bits, burned" for name, bits in report.entered.items())
    yield f"{report.burned:,} bits would be burned; {NOTHING_CHANGED}"


def _kept(report: "entropy.SalvageReport") -> str:
    return ", ".join(f"{bits:,} {state}" for state, bits in sorted(report.kept.items())) or "nothing"


def _salvaged(report: "entropy.SalvageReport") -> Iterator[str]:
    if report.ledger == "made":
        yield "there was no ledger: a new one was made."
    if report.ledger == "replaced":
        yield f"the ledger was damaged: it is in {report.set_aside} now, and a new one was made."
        yield f"kept of it: {_kept(report)}."
    yield from (f"not kept: {sentence}." for sentence in report.lost)
    yield from (f"closed properly: {name}" for name in report.closed)
    yield from (
        f"entered: {name}, {bits:,} bits, {report.entered_as}" for name, bits in report.entered.items()
    )
    yield from (f"problem: {problem}" for problem in report.problems)
    if not (report.closed or report.entered or report.problems or report.ledger != "kept"):
        yield "everything was in order."


@app.command("prune")
def prune(
    path: StorePath,
    yes: Yes = False,
    archive: Annotated[
        Path | None, typer.Option(help="Move the files to this folder instead of deleting them.")
    ] = None,
    older_than: Annotated[
        float, typer.Option(parser=duration_option, help="Only buffers begun longer ago, such as 12h or 7d.")
    ] = 0.0,
    down_to: Annotated[
        int | None,
        typer.Option(parser=bytes_option, help="The oldest, until the buffers take so much, such as 100G."),
    ] = None,
    burn_unspent: Annotated[
        bool,
        typer.Option("--burn-unspent", help="Also buffers with free or withheld bits: these are burned."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete or archive buffers whose bits are all spent; without --yes only say which, with exit code 1 if any.

    Pictures drawn with deleted bits cannot be replayed; archived ones can, while the archive stays where it is.
    """
    if archive is not None:
        refuse_unwritable(archive)
    policy = entropy.PrunePolicy(older_than=older_than, down_to=down_to, burn_unspent=burn_unspent)
    with entropy.Store(path, create=False, read_only=not yes) as store:
        steps = store.prune(policy, archive=archive, dry_run=not yes)
    going = [step for step in steps if not step.keep]
    unspent = sum(step.unspent for step in going)
    values = {"store": path, "dry_run": not yes, "burned": unspent, "buffers": plain(steps)}
    answer(as_json, values, _pruned(steps, going, archive, yes))
    if going and not yes:
        raise typer.Exit(1)


def _pruned(
    steps: "Sequence[entropy.PruneStep]",
    going: "Sequence[entropy.PruneStep]",
    archive: Path | None,
    done: bool,
) -> Iterator[str]:
    for step in steps:
        yield f"{step.file}  {si(step.bytes, 'B'):>8}  {_fate(step, archive)}"
    went = "went" if done else "would go"
    if not going:
        yield f"none of {len(steps)} buffers {went}."
        return
    size, unspent = sum(step.bytes for step in going), sum(step.unspent for step in going)
    end = "." if done else f"; {NOTHING_CHANGED}"
    yield f"{len(going)} of {len(steps)} buffers {went}, {si(size, 'B')}, {unspent:,} bits burned{end}"


def _fate(step: "entropy.PruneStep", archive: Path | None) -> str:
    if step.keep:
        return f"stays: {step.keep}"
    verb = "archived" if archive else "deleted"
    burned = f", {step.unspent:,} bits burned" if step.unspent else ""
    return f"{verb}{burned}" if step.done else f"would be {verb}{burned}"


app.command("export")(store_export.export)


@app.command("rewrite")
def rewrite(path: StorePath, as_json: AsJson = False) -> None:
    """Write every closed buffer anew that an older HDF5 than ours cannot read; nothing is lost and no bit is spent.

    A new file is read back before it takes the old one's place, with the same name, blocks and accounts; pictures are
    replayed as before. It may be interrupted at any moment and called again. Buffers that are being recorded are left
    alone. Exit code 1 if one could not be written anew.
    """
    from memtj._progress import ProgressDisplay

    with ProgressDisplay() as display:
        task = display.task("rewriting", None, "B")
        steps = entropy.rewrite(path, progress=task.advance)
    lines = [
        f"{_REWRITTEN[step.outcome]}: {step.path.name}{_detail(step)}"
        for step in steps
        if step.outcome in _REWRITTEN
    ]
    done, current = (sum(step.outcome == name for step in steps) for name in ("rewritten", "current"))
    lines.append(f"{done} of {len(steps)} buffers rewritten; {current} needed nothing.")
    answer(as_json, {"store": path, "buffers": plain(steps)}, lines)
    if any(step.outcome == "failed" for step in steps):
        raise typer.Exit(1)


def _detail(step: "entropy.RewriteStep") -> str:
    return f", {si(step.bytes, 'B')}" if step.outcome == "rewritten" else f": {step.why}"


@app.command("adopt")
def adopt(
    path: StorePath,
    moved: Annotated[
        bool, typer.Option("--moved", help="The store at the old place is gone: free bits stay free.")
    ] = False,
    copied: Annotated[
        bool,
        typer.Option(
            "--copied", help="This is a copy: its free bits are burned here, so that none is used twice."
        ),
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Open a store that was moved or copied from another place: say which it was.

    --copied burns bits: without --yes it is only said how many, with exit code 1.
    """
    if moved == copied:
        raise CommandError(
            "say exactly one of --moved (the old store is gone) and --copied (it still exists)."
        )
    doing = moved or yes
    burned = entropy.adopt(path, moved=moved, dry_run=not doing)
    line = (
        f"{path} belongs here now; its free bits {'stayed free' if moved else f'were burned: {burned:,}'}."
        if doing
        else f"{burned:,} bits of {path} would be burned; {NOTHING_CHANGED}"
    )
    answer(as_json, {"store": path, "dry_run": not doing, "burned": burned}, [line])
    if not doing:
        raise typer.Exit(1)
