"""The frames of a run's reverse process, one file a picture, until the animation of all of them is made."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError
from sampler._whole_files import write_whole
from sampler.drawing._animation import save_animation, traced_steps
from sampler.drawing._part import Picture, Step, to_pixels
from sampler.drawing._pictures import contact_sheet
from sampler.drawing._run_folder import RunFolder


class Frames:
    """The frames of a run's pictures, for the animation `path`.

    Raises SamplerError where pictures that are there already have no frames.
    """

    def __init__(self, run: RunFolder, path: Path) -> None:
        self._run, self.path = run, path
        self._folder = run.folder / "frames"
        self._shown: dict[int, list[npt.NDArray[np.uint8]]] = {}
        lost = [number for number in sorted(run.kept) if not self._file(number).exists()]
        if lost and not self.done:
            raise SamplerError(
                f"{len(lost)} pictures of {run.folder} were drawn without --animate, or their frames are gone: "
                "leave --animate out, or draw them anew in another folder."
            )

    @property
    def done(self) -> bool:
        """Whether the animation is there and nothing was left to be drawn."""
        return self.path.exists() and not self._run.missing

    def watch(self, step: Step) -> None:
        """Keep the frames of a part, of the steps that are shown."""
        shown = [(step.step - 1, step.seen)]
        if step.step == step.steps:
            shown.append((step.steps, step.x))
        for number, images in shown:
            if number in traced_steps(step.steps):
                for picture, image in zip(step.numbers, images, strict=True):
                    self._shown.setdefault(picture, []).append(to_pixels(image))

    def save(self, pictures: Sequence[Picture]) -> None:
        """Write the frames of pictures, before the pictures themselves."""
        self._folder.mkdir(exist_ok=True)
        for picture in pictures:
            content = io.BytesIO()
            np.save(content, np.stack(self._shown.pop(picture.index)))
            write_whole(self._file(picture.index), content.getvalue())

    def animate(self, columns: int, scale: int, provenance: dict[str, Any]) -> None:
        """Make the animation of all pictures side by side, and remove the frames; not again where it is there."""
        files = [self._file(number) for number in range(len(self._run.labels))]
        if self.done and not all(file.exists() for file in files):
            return
        each = [np.load(file, allow_pickle=False) for file in files]
        frames = [contact_sheet([one[at] for one in each], columns, scale) for at in range(len(each[0]))]
        save_animation(frames, self.path, provenance)
        shutil.rmtree(self._folder)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npy"
