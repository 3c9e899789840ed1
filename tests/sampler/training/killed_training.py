"""Trainings that kill themselves with SIGKILL: after step N, or between the N-th saved state and what follows it.

Arguments: folder, npz file, "software" or a store, "step" or "state", N; again for each more. Every training is a
process of its own, forked here, so that torch is loaded once. Prints as JSON how each ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from entropy import Store
from sampler import Architecture, StoreSource, TrainProgress, TrainSettings, load_data, train
from sampler.training import _train

TINY = Architecture(image_size=8, widths=(8, 16), norm_groups=4, attention_head=8, labels=3)


def main(out: str, npz: str, spec: str, where: str, number: str) -> None:
    torch.set_num_threads(1)
    saved = 0

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def progress(state: TrainProgress) -> None:
        if where == "step" and state.step == int(number):
            kill()

    def save_and_die(*arguments: object) -> None:
        nonlocal saved
        save_state(*arguments)  # pyright: ignore[reportArgumentType]
        saved += 1
        if where == "state" and saved == int(number):
            kill()

    save_state, _train.save_state = _train.save_state, save_and_die  # pyright: ignore[reportAttributeAccessIssue]
    settings = TrainSettings(out=Path(out), steps=10, batch=8, seed=3, checkpoint_every=4, architecture=TINY)
    source = None if spec == "software" else StoreSource(Store(spec, create=False))
    train(settings, source, progress, data=load_data(npz))


def start(*arguments: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            main(*arguments)
        finally:
            os._exit(1)  # it should have been killed
    return child


if __name__ == "__main__":
    given = sys.argv[1:]
    children = [start(*given[at : at + 5]) for at in range(0, len(given), 5)]
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
