"""From pictures to feature vectors: the named spaces that distances are measured in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch

from sampler._errors import SamplerError
from sampler.comparison._classifier import SIDE, load_classifier

if TYPE_CHECKING:
    from sampler.comparison._classifier import DigitClassifier

# A fixed size, so that the same pictures give the same features whatever the number of pictures.
_BATCH = 250


@dataclass(frozen=True)
class Features:
    """What an extractor makes of n pictures.

    `values` (n, d) float32; `probabilities` (n, labels) float32, the classifier's belief in each label, or None where
    the extractor is no classifier; `extractor` and `sha256` name the feature space.
    """

    values: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None
    extractor: str
    sha256: str

    def __len__(self) -> int:
        return len(self.values)


class FeatureExtractor(Protocol):
    """A named feature space. `distance` is how its Fréchet distance must be called in print."""

    @property
    def name(self) -> str: ...

    @property
    def distance(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    def __call__(self, images: npt.NDArray[np.uint8]) -> Features:
        """Extract features of pictures (n, h, w) or (n, h, w, 3), uint8 from 0 to 255."""
        ...


class _DigitExtractor:
    name = "digit features"
    distance = "Fréchet distance, digit features"

    def __init__(self, model: DigitClassifier, sha256: str) -> None:
        self.model = model
        self.sha256 = sha256

    @torch.inference_mode()
    def __call__(self, images: npt.NDArray[np.uint8]) -> Features:
        _check_type(images)
        if images.shape[1:] != (SIDE, SIDE):
            raise SamplerError(
                f"digit features are for grey pictures of {SIDE} × {SIDE} pixels, not of "
                f"{' × '.join(str(side) for side in images.shape[1:])}: compare such pictures with a TorchScript "
                "Inception (torchscript_features)"
            )
        values, probabilities = [], []
        for batch in _batches(images):
            features, logits = self.model(torch.from_numpy(batch).float().div(255).unsqueeze(1))
            values.append(features.numpy())
            probabilities.append(logits.softmax(1).numpy())
        return Features(np.concatenate(values), np.concatenate(probabilities), self.name, self.sha256)


class _TorchScriptExtractor:
    name = "Inception features"
    distance = "FID"

    def __init__(self, module: torch.jit.ScriptModule, sha256: str, path: Path) -> None:
        self.module = module
        self.sha256 = sha256
        self.path = path

    @torch.inference_mode()
    def __call__(self, images: npt.NDArray[np.uint8]) -> Features:
        _check_type(images)
        values = [self._extract(batch) for batch in _batches(images)]
        return Features(np.concatenate(values), None, self.name, self.sha256)

    def _extract(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        coloured = batch if batch.ndim == 4 else np.repeat(batch[..., None], 3, axis=3)
        pictures = torch.from_numpy(np.ascontiguousarray(coloured.transpose(0, 3, 1, 2)))
        try:
            features = self.module(pictures)
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
            raise SamplerError(
                f"{self.path} does not take pictures of shape {tuple(pictures.shape)} uint8 ({reason}): give a "
                "TorchScript module that maps (n, 3, h, w) uint8 to (n, d) features"
            ) from error
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != len(batch):
            given = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise SamplerError(
                f"{self.path} gives {given} for {len(batch)} pictures: give a TorchScript module that maps "
                "(n, 3, h, w) uint8 to (n, d) features"
            )
        return features.float().numpy()


def digit_features() -> FeatureExtractor:
    """The shipped classifier's last hidden layer: 28 × 28 grey pictures to 64 features and 10 probabilities.

    Its Fréchet distance is a "Fréchet distance, digit features", never a plain "FID". Raises SamplerError where the
    shipped weights are damaged; the extractor raises it for pictures of another size.
    """
    loaded = load_classifier()
    return _DigitExtractor(loaded.model, loaded.sha256)


def torchscript_features(path: Path | str) -> FeatureExtractor:
    """A TorchScript module by path, as the usual Inception of FID is exported: its Fréchet distance is the FID.

    Protocol: the module is called with (n, 3, h, w) uint8 in 0 … 255, n at most 250, and returns (n, d) floating
    point, d = 2048 for Inception's pool3; resizing and scaling are its own affair. Grey pictures are repeated over
    three channels. TorchScript is loaded by `torch.jit.load`, which runs the module's code but unpickles nothing of
    Python: load modules that you trust.

    Raises SamplerError where there is no such module; the extractor raises it where the module does not keep to the
    protocol.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SamplerError(f"there is no TorchScript module at {path}: {error.strerror}") from error
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise SamplerError(
            f"{path} is not a TorchScript module: export one with torch.jit.script or torch.jit.trace"
        ) from error
    return _TorchScriptExtractor(module.eval(), hashlib.sha256(raw).hexdigest(), path)


def _check_type(images: npt.NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8:
        raise SamplerError(f"features are of uint8 pictures from 0 to 255, not of {images.dtype}")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or not len(images):
        raise SamplerError(
            f"features are of pictures of shape (n, h, w) or (n, h, w, 3), n at least 1, not of {images.shape}"
        )


def _batches(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    for first in range(0, len(images), _BATCH):
        yield images[first : first + _BATCH]
