"""`memtj store export`: bits move out of a store, to a file or into another store."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import entropy
from memtj._answer import answer
from memtj._errors import CommandError
from memtj._options import NOTHING_CHANGED, AsJson, Form, StorePath, Yes, bits_option, blocks_option
from memtj._outputs import refuse_unwritable


def export(
    path: StorePath,
    out: Annotated[Path | None, typer.Option(help="New file for the bits.")] = None,
    to_store: Annotated[Path | None, typer.Option(help="Move blocks into this store instead.")] = None,
    form: Annotated[
        Form,
        typer.Option("--as", help="packed (8 bits a byte), bytes (0 or 1 a byte) or npy (the same, numpy)."),
    ] = "packed",
    bits: Annotated[int | None, typer.Option(parser=bits_option, help="How many bits, such as 1e6.")] = None,
    buffer: Annotated[str | None, typer.Option(help="Take this buffer's blocks: its uuid or file.")] = None,
    blocks: Annotated[
        str | None, typer.Option(help="Only these blocks of it, such as 0:99 (both included).")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move bits out of a store: to a file, or into another store. They are free there and burned here.

    Without --yes it is only said how many, with exit code 1.
    """
    from memtj._progress import ProgressDisplay

    if (out is None) == (to_store is None):
        raise CommandError("say where to: --out FILE, or --to-store FOLDER.")
    if (bits is None) == (buffer is None) or (blocks is not None and buffer is None):
        raise CommandError("say which bits: --bits N, or --buffer NAME and perhaps --blocks A:B.")
    if bits == 0:
        raise CommandError("--bits 0 exports nothing: ask for at least one bit.")
    if to_store is not None and buffer is None:
        raise CommandError("whole blocks go to another store: give --buffer NAME instead of --bits.")
    with entropy.Store(path, create=False, read_only=not yes) as store, ProgressDisplay() as display:
        which = None if buffer is None else _blocks(store, buffer, blocks)
        count = _check(store, out, to_store, form, bits, which)
        values: dict[str, Any] = {"to": str(out or to_store), "bits": count, "dry_run": True}
        if yes:
            progress = display.task("exporting", count, "bit").advance
            if out is not None:
                done = entropy.export_bits(store, out, bits=bits, blocks=which, form=form, progress=progress)
                values = {"to": str(out), **done}
            elif to_store is not None and which is not None:
                values = _move(store, to_store, which, progress)
    line = (
        f"{values['bits']:,} bits are in {values['to']}; here they are burned."
        if yes
        else f"{count:,} bits would go to {values['to']} and be burned here; {NOTHING_CHANGED}"
    )
    answer(as_json, values, [line])
    if not yes:
        raise typer.Exit(1)


def _check(
    store: "entropy.Store",
    out: Path | None,
    to_store: Path | None,
    form: Form,
    bits: int | None,
    which: tuple[str, int, int] | None,
) -> int:
    """Count the bits that would go; raises where they cannot, before a file or another store is made."""
    if out is not None:
        return entropy.check_export(store, out, bits=bits, blocks=which, form=form)
    assert to_store is not None
    assert which is not None
    refuse_unwritable(to_store)
    if (to_store / "ledger.sqlite").exists():
        with entropy.Store(to_store, read_only=True) as into:
            if into.uuid == store.uuid:
                raise CommandError(f"{to_store} is the same store: bits are moved to another one.")
    return store.free_in_blocks(*which)


def _blocks(store: "entropy.Store", name: str, blocks: str | None) -> tuple[str, int, int]:
    found = [info for info in store.buffers() if name in (info.uuid, info.path.name, info.path.stem)]
    if not found:
        raise CommandError(f"the store has no buffer {name!r}: 'memtj store ls' lists them.")
    first, last = blocks_option(blocks) if blocks is not None else (0, found[0].blocks - 1)
    return found[0].uuid, first, last


def _move(
    store: "entropy.Store", folder: Path, which: tuple[str, int, int], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    buffer, first, last = which
    with entropy.Store(folder) as into:
        recording = entropy.move_blocks(store, buffer, (first, last), into, progress=progress)
        moved = sum(info.bits for info in into.buffers() if info.recording == recording)
    return {
        "to": str(folder),
        "recording": recording,
        "buffer": buffer,
        "blocks": [first, last],
        "bits": moved,
    }
