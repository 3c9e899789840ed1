"""`memtj replay`: the same pictures again from the bits that they were made of, and where they differ."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memtj._errors import CommandError
from memtj._outputs import refuse_unwritable

if TYPE_CHECKING:
    from entropy import Store
    from sampler import Checkpoint, Replayed


@dataclass(frozen=True)
class _Outcome:
    """What became of one picture: drawn again, or the sentence that says why not."""

    path: Path
    replayed: "Replayed | None" = None
    steps: int = 0
    error: str = ""

    @property
    def identical(self) -> bool:
        return self.replayed is not None and self.replayed.identical

    def __str__(self) -> str:
        again = self.replayed
        if again is None:
            return f"{self.path}: NOT DRAWN AGAIN: {self.error}"
        why = "; ".join(self.reasons())
        verdict = "identical" if again.identical else "ALTERED" if again.equal else "DIFFERENT"
        return f"{self.path}: {verdict}" + (f" ({why})" if why else "")

    def reasons(self) -> list[str]:
        """What differs, and why, as far as that is known."""
        again = self.replayed
        if again is None:
            return []
        said: list[str] = []
        if again.altered and again.equal:
            changed = (
                f"{again.shown.pixels:,} of its {again.shown.of:,} pixels" if again.shown else "the file"
            )
            said.append(f"what its provenance says was drawn again, and {changed} were changed since")
        elif again.altered:
            said.append("the pixels of the file are not those that were drawn: it was altered")
        if not again.equal:
            said += [*self._pixels(again), *self._steps(again)]
        return said + again.differences

    def _pixels(self, again: "Replayed") -> list[str]:
        if again.shown is None:
            return []
        if not again.shown.pixels:
            return ["no pixel as shown differs, only last bits of the numbers behind them"]
        return [
            f"{again.shown.pixels:,} of {again.shown.of:,} pixels differ, by at most {again.shown.largest} of 255"
        ]

    def _steps(self, again: "Replayed") -> list[str]:
        if again.differs_at == 0:
            return ["the noise itself differs from the first draw on: these are other bits"]
        if again.equal_until is None:
            return ["its provenance has no digests of the steps, so where it began to differ is not known"]
        said = [f"equal up to step {again.equal_until} of {self.steps}"]
        if again.differs_at is not None:
            said = [f"{said[0]}, different at step {again.differs_at}"]
        if not again.differences:
            said.append(
                "versions, threads and machine are the same: bits drawn after the first noise differ, or the network's "
                "arithmetic does"
            )
        return said

    def as_json(self) -> dict[str, Any]:
        """The outcome for a script."""
        again = self.replayed
        told: dict[str, Any] = {"picture": str(self.path), "identical": self.identical}
        if again is None:
            return {**told, "error": self.error}
        told |= {"equal": again.equal, "altered": again.altered, "differences": again.differences}
        told |= {"equal_until_step": again.equal_until, "differs_at_step": again.differs_at}
        if again.shown is not None:
            told |= {"differing_pixels": again.shown.pixels, "largest_difference": again.shown.largest}
        return told


def replay(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files (PNG or their JSON).")],
    store: Annotated[Path | None, typer.Option(help="Folder of the store that holds their bits.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Checkpoint folder or model folder of diffusers; without one, the shipped digits."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder for the pictures drawn again, and images of where they differ."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Draw pictures again from the bits that their provenance names; exit code 1 unless all are identical."""
    from entropy import Store
    from sampler import load_checkpoint, load_provenance, shipped_checkpoint

    if save is not None:
        refuse_unwritable(save)
    outcomes: list[_Outcome] = []
    with contextlib.ExitStack() as stack:
        told = [load_provenance(path) for path in pictures]
        opened = stack.enter_context(Store(store, read_only=True)) if store is not None else None
        checkpoint = load_checkpoint(model or shipped_checkpoint())
        for path, provenance in zip(pictures, told, strict=True):
            outcome = _draw_again(path, provenance, opened, checkpoint)
            outcomes.append(outcome)
            if save is not None and outcome.replayed is not None:
                _save(outcome.replayed, save, path)
            if not as_json:
                print(outcome)
    if as_json:
        print(json.dumps({"pictures": [outcome.as_json() for outcome in outcomes]}))
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        others = f" ({len(failed)} of {len(outcomes)} pictures)" if len(outcomes) > 1 else ""
        raise CommandError(f"{failed[0].error}{others}")
    if not all(outcome.identical for outcome in outcomes):
        raise typer.Exit(1)


def _draw_again(
    path: Path, provenance: dict[str, Any], store: "Store | None", checkpoint: "Checkpoint"
) -> _Outcome:
    from sampler import SamplerError, load_pixels
    from sampler import replay as draw_again

    picture = path.with_suffix(".png") if path.suffix == ".json" else path
    try:
        shown = load_pixels(picture) if picture.exists() else None
        if provenance["bits"].get("source") == "array":
            from memtj.growing import read_again

            again = read_again(provenance, store, shown)
        else:
            again = draw_again(provenance, store, checkpoint, shown)
    except SamplerError as error:
        return _Outcome(path, error=str(error))
    return _Outcome(path, again, int(provenance["sampling"]["steps"]))


def _save(again: "Replayed", folder: Path, path: Path) -> None:
    from sampler import save_picture, save_sheet

    save_picture(again.picture, folder / f"{path.stem}-again.png")
    if again.shown is not None:
        # Stretched to full contrast: a difference of one of 255 would be black to the eye.
        stretched = again.shown.image // max(again.shown.largest, 1) * 255
        if again.shown.largest > 1:
            stretched = (
                (again.shown.image.astype("float32") * (255 / again.shown.largest)).round().astype("uint8")
            )
        save_sheet([stretched], folder / f"{path.stem}-difference.png", columns=1, scale=1)
