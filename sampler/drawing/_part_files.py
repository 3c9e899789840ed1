"""The pictures of a run in one file a part: kept as they come, gone on with after an interruption."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError
from sampler._whole_files import write_whole
from sampler.drawing._part import Part, Picture, to_pixels
from sampler.drawing._sample import Supply, draw_parts


@dataclass(frozen=True)
class RunPictures:
    """Pictures of a run: images (n, height, width[, 3]) uint8, labels (n,) int64, the provenance of each one's bits.

    The label is −1 where the network takes none.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    bits: list[dict[str, Any]]


@dataclass(frozen=True)
class PartFiles:
    """The folder of a run of `parts`, all of them whole microbatches but the last: part-00000.npz and so on."""

    folder: Path
    parts: Sequence[Part]

    @staticmethod
    def there(folder: Path) -> int:
        """How many parts of a run a folder holds."""
        return len(list(folder.glob("part-*.npz")))

    def draw(self, supply: Supply, progress: Callable[[float], None] = lambda done: None) -> RunPictures:
        """Draw the parts that are not there, and give all pictures; `progress` is told those done, with fractions.

        Raises SamplerError where a file is damaged, or of other labels.
        """
        missing = [part for part in self.parts if not self._is_there(part)]
        done = sum(len(part.numbers) for part in self.parts) - sum(len(part.numbers) for part in missing)
        progress(done)
        draw_parts(missing, supply, kept=done, progress=progress, finished=self._save)
        read = [self._read(part) for part in self.parts]
        return RunPictures(
            np.concatenate([part.images for part in read]),
            np.concatenate([part.labels for part in read]),
            [bits for part in read for bits in part.bits],
        )

    def _save(self, pictures: Sequence[Picture]) -> None:
        """Keep a part's pictures; they are on the disk when this returns."""
        told = [{**p.provenance["bits"], "sha256": p.provenance["picture_sha256"]} for p in pictures]
        packed = io.BytesIO()
        np.savez_compressed(
            packed,
            images=np.stack([to_pixels(picture.image) for picture in pictures]),
            labels=np.array(_numbers([picture.label for picture in pictures]), np.int64),
            bits=np.frombuffer(json.dumps(told).encode(), np.uint8),
        )
        write_whole(self._file(pictures[0].index), packed.getvalue(), durable=True)

    def _is_there(self, part: Part) -> bool:
        there = self._file(part.numbers[0]).exists()
        if there:
            self._read(part)  # which refuses it, before anything is drawn
        return there

    def _read(self, part: Part) -> RunPictures:
        path = self._file(part.numbers[0])
        try:
            with np.load(path, allow_pickle=False) as file:
                found = RunPictures(file["images"], file["labels"], json.loads(file["bits"].tobytes()))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise SamplerError(f"{path} is damaged: remove it, and it is drawn again ({error})") from error
        if found.labels.tolist() != _numbers(part.labels) or len(found.images) != len(part.labels):
            raise SamplerError(
                f"{path} holds pictures of other labels: it belongs to another plan, use another folder"
            )
        return found

    def _file(self, first: int) -> Path:
        return self.folder / f"part-{first // self.parts[0].settings.microbatch:05d}.npz"


def _numbers(labels: Sequence[int | None]) -> list[int]:
    return [-1 if label is None else label for label in labels]
