"""Making room: buffers whose bits are spent are deleted or archived, by policy, never unasked."""

import datetime
import filecmp
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from .._errors import StoreError
from ..arguments import Count, Real, take_fields
from ..buffer._durable import sync_folder
from ..ledger import DELETED, FREE, LEASED, WITHHELD, BufferRecord, Ledger
from ._open_files import OpenFiles

_PIECE = 8 << 20


@dataclass(frozen=True)
class PruneStep:
    """What a policy says of one buffer: it goes (`keep` is "") or stays, and why.

    `bytes`: size of its file; `unspent`: its free and withheld bits, which are burned where it goes; `done`: whether it
    went.
    """

    buffer: str
    file: str
    created: str
    bytes: int
    unspent: int
    keep: str = ""
    done: bool = False


@dataclass(frozen=True)
class PrunePolicy:
    """Which buffers may go: all conditions must hold.

    `older_than`: seconds since the buffer was begun; `down_to`: the oldest go until the buffers take at most so many
    bytes; `burn_unspent`: those with free or withheld bits too, which are burned.
    """

    older_than: float = 0.0
    down_to: int | None = None
    burn_unspent: bool = False

    def __post_init__(self) -> None:
        take_fields(self, older_than=Real(0), down_to=Count())


def plan(folder: Path, ledger: Ledger, policy: PrunePolicy) -> list[PruneStep]:
    """Say for every buffer that is in the store's folder whether it goes; changes nothing."""
    records = [record for record in ledger.buffers() if (folder / record.file).is_file()]
    sizes = {record.id: (folder / record.file).stat().st_size for record in records}
    left = sum(sizes.values())
    steps: list[PruneStep] = []
    for record in records:
        keep, unspent = _judge(ledger, record, policy)
        if not keep and policy.down_to is not None and left <= policy.down_to:
            keep = "the store is small enough"
        if not keep:
            left -= sizes[record.id]
        steps.append(PruneStep(record.uuid, record.file, record.created, sizes[record.id], unspent, keep))
    return steps


def _judge(ledger: Ledger, record: BufferRecord, policy: PrunePolicy) -> tuple[str, int]:
    """Say why a buffer stays ("" where it may go), and how many of its bits are not spent."""
    if record.place is not None:
        return "", 0  # an earlier prune was interrupted before it removed the file
    sums = ledger.sums_of(record.id)
    unspent = sums.get(FREE, 0) + sums.get(WITHHELD, 0)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(record.created)
    if not record.ended:
        return "it is still being written", unspent
    if sums.get(LEASED):
        return f"{sums[LEASED]:,} of its bits are leased", unspent
    if unspent and not policy.burn_unspent:
        return f"{unspent:,} of its bits are not spent", unspent
    if age.total_seconds() < policy.older_than:
        return "it is too young", unspent
    return "", unspent


def prune(files: OpenFiles, ledger: Ledger, policy: PrunePolicy, archive: Path | None) -> list[PruneStep]:
    """Carry out what `plan` says, being the only one who does so; gives the steps with what became of them."""
    from ._anew import alone  # and with it numpy and HDF5: a store is opened and listed without them

    with alone(files.folder):
        steps = plan(files.folder, ledger, policy)
        for number, step in enumerate(steps):
            if not step.keep:
                files.forget(step.buffer)
                steps[number] = _carry_out(files.folder, ledger, step, policy, archive)
    return steps


def _carry_out(
    folder: Path, ledger: Ledger, step: PruneStep, policy: PrunePolicy, archive: Path | None
) -> PruneStep:
    """Delete a buffer's file, or move it to the folder `archive`; gives the step with what became of it.

    The ledger's word is on the disk before the file goes, and an archived copy before the ledger's word, so an
    interruption at any moment leaves a store that the next call brings to the same end.
    """
    path = folder / step.file
    record = next(item for item in ledger.buffers() if item.uuid == step.buffer)
    if record.place is None:
        place = DELETED if archive is None else str(_copy(path, archive))
        if not ledger.retire(record.id, place, burn=policy.burn_unspent):
            return replace(step, keep="somebody has taken some of its bits meanwhile")
    elif record.place != DELETED and not Path(record.place).is_file():
        _copy(path, Path(record.place).parent)
    try:
        path.unlink(missing_ok=True)  # another prune may have been faster
    except OSError as error:
        raise StoreError(
            f"{path} cannot be removed ({error.strerror}): close the programs that read it, and prune again"
        ) from None
    return replace(step, done=True)


def _copy(source: Path, archive: Path) -> Path:
    """Copy a file to another folder, whole and on the disk, before it gets its name there."""
    target = archive.absolute() / source.name
    partial = target.with_name(target.name + ".partial")
    try:
        archive.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if not filecmp.cmp(target, source, shallow=False):
                raise StoreError(f"{target} exists already and is another file: choose another archive")
            return target
        with open(source, "rb") as reading, open(partial, "wb") as writing:
            shutil.copyfileobj(reading, writing, _PIECE)
            writing.flush()
            os.fsync(writing.fileno())
        if not filecmp.cmp(partial, source, shallow=False):
            raise StoreError(f"{partial} reads back otherwise than it was written: do not trust this disk")
        os.replace(partial, target)
        sync_folder(target.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{source.name} cannot be archived in {archive}: {error.strerror}; nothing was removed"
        ) from None
    return target
