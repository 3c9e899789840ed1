"""The card of a trained network: data, settings, loss curve, whose bits, versions."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict
from typing import Any

import torch

from sampler.training._bill import TrainingBill
from sampler.training._data import DataSet
from sampler.training._run import Run
from sampler.training._state import recorded_settings

_WINDOW = 50  # steps of one point of the loss curve


def training_card(run: Run, data: DataSet, bill: TrainingBill, seconds: float) -> dict[str, Any]:
    """Describe a run as it is by now, as JSON values."""
    import diffusers
    import numpy

    recorded = recorded_settings(run.settings)
    del recorded["architecture"]
    return {
        "data": data.described(),
        "process": run.settings.process,
        "scheduler": run.objective.config,
        "training": {
            **recorded,
            "steps_done": run.done,
            "objective": run.objective.name,
            "weights": "moving average",
            "threads": torch.get_num_threads(),
        },
        "loss_curve": _loss_curve(run.losses),
        "entropy": run.named.provenance(),
        "bill": {line.name: {"bits": line.bits, "recorded": line.recorded} for line in bill.names},
        "epochs": [asdict(epoch) for epoch in run.epochs],
        "seconds": round(seconds, 1),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "numpy": numpy.__version__,
        },
        "trained_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _loss_curve(losses: list[float]) -> list[list[float]]:
    """Mean losses of successive windows, each with the step that it ends with."""
    windows = [losses[i : i + _WINDOW] for i in range(0, len(losses), _WINDOW)]
    return [
        [min((i + 1) * _WINDOW, len(losses)), round(sum(part) / len(part), 5)]
        for i, part in enumerate(windows)
    ]
