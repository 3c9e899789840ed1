"""The network of a run, asked in parts of one size."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from sampler import Checkpoint
from sampler.processes import Bits, Probabilities


class Network:
    """A network asked microbatch by microbatch, `between` which others may be told that we live."""

    def __init__(self, checkpoint: Checkpoint, size: int, between: Callable[[], None]) -> None:
        self._model, self._size, self._between = checkpoint.model, size, between
        self._labelled = checkpoint.pictures.labels is not None
        self.seconds = 0.0

    def ask(self, labels: Sequence[int | None], x: Bits, t: int) -> Probabilities:
        """Give P(x_0 = 1) of pictures x_t (pictures, channels, height, width); t counts from 1."""
        start, answers = time.monotonic(), []
        for at in range(0, len(x), self._size):
            part = torch.full((self._size, *x.shape[1:]), -1.0)
            count = min(self._size, len(x) - at)
            part[:count] = torch.from_numpy(x[at : at + count]) * 2.0 - 1
            classes = None
            if self._labelled:
                own = [label or 0 for label in labels[at : at + count]]
                classes = torch.tensor([*own, *[0] * (self._size - count)])
            with torch.no_grad():
                # The network counts its timesteps from 0.
                logits = self._model(part, t - 1, class_labels=classes).sample[:count]
            answers.append(torch.sigmoid(logits.double()).numpy())
            self._between()
        self.seconds += time.monotonic() - start
        return np.concatenate(answers)
