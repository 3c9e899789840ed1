"""The folder of a sampling run: what it was begun with, the pictures it has by now, and what is still to be drawn."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError
from sampler._locked import locked
from sampler._whole_files import write_whole
from sampler.drawing._part import Picture
from sampler.drawing._pictures import (
    load_pixels,
    load_provenance,
    picture_name,
    save_pictures,
    save_provenance,
)
from sampler.drawing._sample import pixels_digest
from sampler.drawing._settings import SampleSettings

_FILE = "run.json"
_LOCK = ".lock"
_SAMPLING = tuple(SampleSettings.__dataclass_fields__)
_FORMAT = {"format": "memtj-run", "format_version": 1}


@dataclass(frozen=True)
class RunFolder:
    """A run in its folder: `settings` are what its pictures follow from, `labels` one a picture.

    `kept`: the numbers of the pictures that were there, whole, when it was opened.
    """

    folder: Path
    settings: Mapping[str, Any]
    labels: Sequence[int | None]
    kept: frozenset[int]

    @staticmethod
    def begun_with(folder: Path) -> dict[str, Any] | None:
        """The settings that the run in a folder was begun with; None where the folder is new or empty.

        Raises SamplerError where the folder holds something else.
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
                raise SamplerError(
                    f"{folder} holds no {_FILE}, so it is not a run that can be gone on with: name another folder."
                ) from None
            return None
        except (OSError, ValueError) as error:
            raise SamplerError(f"{file} cannot be read ({error}): name another folder.") from None
        if not isinstance(told, dict) or {name: told.get(name) for name in _FORMAT} != _FORMAT:
            raise SamplerError(f"{file} is not of a run of this memtj: name another folder.")
        return told["settings"]

    @staticmethod
    def refuse_used(folder: Path) -> None:
        """Raise SamplerError where a folder is not new or empty."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            further = ", or go on with the run in it by --resume" if (folder / _FILE).exists() else ""
            raise SamplerError(
                f"{folder} exists and is not an empty folder: name another one with --out{further}."
            )

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, folder: Path, settings: Mapping[str, Any], labels: Sequence[int | None], version: str
    ) -> Iterator[RunFolder]:
        """Begin a run in `folder`, or go on with the one that is there; a second run is kept out meanwhile.

        `version`: of the memtj that begins it. Raises SamplerError where the settings of the one that is there differ,
        or another process is at work on it.
        """
        cls.begun_with(folder)  # before the lock is a file in it: a folder of something else is left as it is
        with locked(folder / _LOCK, wait=False) as ours:
            if not ours:
                raise SamplerError(
                    f"another memtj sample is at work in {folder}: wait for it, or name another folder."
                )
            then = cls.begun_with(folder)
            run = cls(folder, settings, labels, frozenset())
            if then is None:
                begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                told = {**_FORMAT, "memtj": version, "begun": begun, "settings": settings}
                write_whole(folder / _FILE, (json.dumps(told, indent=1) + "\n").encode())
                yield run
                return
            _check_same(folder, then, settings)
            for half in (folder / "pictures").glob(".*.new"):  # what a kill left of a picture
                half.unlink()
            kept = frozenset(number for number in range(len(labels)) if run._is_whole(number))
            yield cls(folder, settings, labels, kept)

    @property
    def missing(self) -> list[tuple[int, int | None]]:
        """The pictures that are still to be drawn, each its number and label."""
        return [(number, label) for number, label in enumerate(self.labels) if number not in self.kept]

    def picture(self, number: int) -> Path:
        """The file of a picture."""
        return self.folder / "pictures" / picture_name(number, self.labels[number])

    def save(self, pictures: Sequence[Picture]) -> None:
        """Write pictures, each of them whole or not at all."""
        save_pictures(pictures, self.folder / "pictures")

    def pixels(self) -> list[npt.NDArray[np.uint8]]:
        """All pictures as they are shown."""
        return [load_pixels(self.picture(number)) for number in range(len(self.labels))]

    def provenance(self) -> dict[str, Any]:
        """What a sheet of the run's pictures says of itself: the settings, and each picture's digest."""
        told = [load_provenance(self.picture(number)) for number in range(len(self.labels))]
        return {
            "format": "memtj-sheet",
            "format_version": 1,
            "settings": dict(self.settings),
            "pictures_sha256": [one["picture_sha256"] for one in told],
        }

    def _is_whole(self, number: int) -> bool:
        """Whether a picture's file is there, as it was drawn; puts back its JSON where that is lost."""
        path = self.picture(number)
        if not path.exists():
            return False
        try:
            told = load_provenance(path)
            whole = (
                (told["picture"], told["label"]) == (number, self.labels[number])
                and told["model_sha256"] == self.settings["model"]
                and all(told["sampling"].get(name) == self.settings.get(name) for name in _SAMPLING)
                and told["pixels_sha256"] == pixels_digest(load_pixels(path))
            )
        except (SamplerError, KeyError):
            return False
        if whole and not path.with_suffix(".json").exists():
            save_provenance(told, path)
        return whole


def _check_same(folder: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    wrong = [
        f"{name} {_short(then.get(name))} then, {_short(now.get(name))} now"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    if wrong:
        raise SamplerError(
            f"{folder} was begun with other settings ({'; '.join(wrong)}): repeat them, or name another folder."
        )


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 48 else f"{text[:45]}…"
