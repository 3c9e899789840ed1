"""The folder of a sampling run: what it was begun with, the pictures it has by now, and what is still to be drawn."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from memtj import __version__
from memtj._errors import CommandError

if TYPE_CHECKING:
    import torch

    from entropy import FileLock
    from sampler import Picture

_FILE = "run.json"
_LOCK = ".lock"
_FORMAT = "memtj-run"
_FORMAT_VERSION = 1


def begun_with(folder: Path) -> dict[str, Any] | None:
    """The settings that the run in a folder was begun with; None where the folder is new or empty.

    Raises CommandError where the folder holds something else.
    """
    file = folder / _FILE
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        # A run that was killed before its first line was whole has begun nothing.
        nothing = {f".{_FILE}.new", _LOCK}
        if folder.exists() and (
            not folder.is_dir() or any(item.name not in nothing for item in folder.iterdir())
        ):
            raise CommandError(
                f"{folder} holds no {_FILE}, so it is not a run that can be gone on with: name another folder."
            ) from None
        return None
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read ({error}): name another folder.") from None
    if not isinstance(told, dict) or (told.get("format"), told.get("format_version")) != (
        _FORMAT,
        _FORMAT_VERSION,
    ):
        raise CommandError(f"{file} is not of a run of this memtj: name another folder.")
    return told["settings"]


def refuse_used(folder: Path) -> None:
    """Raise CommandError where a folder is not new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        further = ", or go on with the run in it by --resume" if (folder / _FILE).exists() else ""
        raise CommandError(
            f"{folder} exists and is not an empty folder: name another one with --out{further}."
        )


def _check_same(folder: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    wrong = [
        f"{name} {_short(then.get(name))} then, {_short(now.get(name))} now"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    if wrong:
        raise CommandError(
            f"{folder} was begun with other settings ({'; '.join(wrong)}): repeat them, or name another folder."
        )


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 48 else f"{text[:45]}…"


@dataclass(frozen=True)
class SamplingRun:
    """A run in its folder: `settings` are what its pictures follow from, `labels` one a picture.

    A context manager: a second run is kept out of the folder meanwhile. `kept`: the numbers of the pictures that were
    there, whole, when it was opened.
    """

    folder: Path
    settings: Mapping[str, Any]
    labels: Sequence[int | None]
    kept: frozenset[int]
    _lock: "FileLock"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release(remove=True)

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: Mapping[str, Any],
        sampling: Mapping[str, Any],
        labels: Sequence[int | None],
    ) -> "SamplingRun":
        """Begin a run in `folder`, or go on with the one that is there.

        `sampling` is what the provenance of each of its pictures says of the sampling, and more. Raises CommandError
        where the settings of the one that is there differ, or another process is at work on it.
        """
        begun_with(folder)  # before the lock is a file in it: a folder of something else is left as it is
        lock = _locked(folder)
        try:
            then = begun_with(folder)
            if then is None:
                _begin(folder, settings)
                return cls(folder, settings, labels, frozenset(), lock)
            _check_same(folder, then, settings)
            for half in (folder / "pictures").glob(".*.new"):  # what a kill left of a picture
                half.unlink()
            kept = frozenset(
                number
                for number, label in enumerate(labels)
                if _is_whole(folder / "pictures", number, label, str(settings["model"]), sampling)
            )
            return cls(folder, settings, labels, kept, lock)
        except BaseException:
            lock.release(remove=True)
            raise

    @property
    def missing(self) -> list[int]:
        """The numbers of the pictures that are still to be drawn."""
        return [number for number in range(len(self.labels)) if number not in self.kept]

    def picture(self, number: int) -> Path:
        """The file of a picture."""
        from sampler import picture_name

        return self.folder / "pictures" / picture_name(number, self.labels[number])

    def save(self, pictures: "Sequence[Picture]") -> None:
        """Write pictures, each of them whole or not at all."""
        from sampler import save_pictures

        save_pictures(pictures, self.folder / "pictures")

    def provenance(self) -> dict[str, Any]:
        """What a sheet of the run's pictures says of itself: the settings, and each picture's digest."""
        from sampler import load_provenance

        pictures = [
            load_provenance(self.picture(number))["picture_sha256"] for number in range(len(self.labels))
        ]
        return {
            "format": "memtj-sheet",
            "format_version": 1,
            "settings": dict(self.settings),
            "pictures_sha256": pictures,
        }


def _locked(folder: Path) -> "FileLock":
    from entropy import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, wait=False)
    if not lock.held:
        raise CommandError(
            f"another memtj sample is at work in {folder}: wait for it, or name another folder."
        )
    return lock


def _begin(folder: Path, settings: Mapping[str, Any]) -> None:
    from sampler import write_whole

    told = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "memtj": __version__,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "settings": settings,
    }
    write_whole(folder / _FILE, (json.dumps(told, indent=1) + "\n").encode())


def _is_whole(folder: Path, number: int, label: int | None, model: str, sampling: Mapping[str, Any]) -> bool:
    """Whether a picture's file is there with its provenance, as it was drawn; puts back its JSON where that is lost."""
    from sampler import (
        SamplerError,
        load_pixels,
        load_provenance,
        picture_name,
        pixels_digest,
        save_provenance,
    )

    path = folder / picture_name(number, label)
    if not path.exists():
        return False
    try:
        told = load_provenance(path)
        whole = (
            (told["picture"], told["label"], told["model_sha256"]) == (number, label, model)
            and all(told["sampling"].get(name) == value for name, value in sampling.items())
            and told["pixels_sha256"] == pixels_digest(load_pixels(path))
        )
    except (SamplerError, KeyError):
        return False
    if whole and not path.with_suffix(".json").exists():
        save_provenance(told, path)
    return whole


class Frames:
    """The frames of the pictures' reverse process, one file a picture, kept until the animation is made."""

    def __init__(self, run: SamplingRun, path: Path) -> None:
        from sampler import traced_steps

        self._run, self.path = run, path
        self._folder = run.folder / "frames"
        self._traced_steps = traced_steps
        self._shown: dict[int, list[np.ndarray]] = {}

    @property
    def done(self) -> bool:
        """Whether the animation is there and nothing is left to be drawn."""
        return self.path.exists() and not self._run.missing

    @property
    def has_frames(self) -> bool:
        """Whether there are frames of every picture."""
        return all(self._file(number).exists() for number in range(len(self._run.labels)))

    def check(self) -> None:
        """Raise CommandError where pictures that are there already have no frames."""
        lost = [number for number in sorted(self._run.kept) if not self._file(number).exists()]
        if lost and not self.done:
            raise CommandError(
                f"{len(lost)} pictures of {self._run.folder} were drawn without --animate, or their frames are gone: "
                "leave --animate out, or draw them anew in another folder."
            )

    def trace(self, numbers: Sequence[int], step: int, steps: int, x: "torch.Tensor") -> None:
        """Keep the frames of a microbatch, of the steps that are shown."""
        from sampler import to_pixels

        if step == 0:
            self._shown = {number: [] for number in numbers}
        if step in self._traced_steps(steps):
            for number, one in zip(numbers, x, strict=True):
                self._shown[number].append(to_pixels(one * 2 - 1))

    def save(self, pictures: "Sequence[Picture]") -> None:
        """Write the frames of pictures, before the pictures themselves."""
        import io

        from sampler import write_whole

        self._folder.mkdir(exist_ok=True)
        for picture in pictures:
            content = io.BytesIO()
            np.save(content, np.stack(self._shown.pop(picture.index)))
            write_whole(self._file(picture.index), content.getvalue())

    def animate(self, columns: int, scale: int, provenance: Mapping[str, Any]) -> None:
        """Make the animation of all pictures side by side, and remove the frames."""
        from sampler import contact_sheet, save_animation

        each = [np.load(self._file(number), allow_pickle=False) for number in range(len(self._run.labels))]
        frames = [contact_sheet([one[at] for one in each], columns, scale) for at in range(len(each[0]))]
        save_animation(frames, self.path, provenance)
        shutil.rmtree(self._folder)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npy"
