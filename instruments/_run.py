"""Runs a procedure by pymeasure's own Worker and Results, and waits until everything has ended."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymeasure.experiment import Procedure

from ._errors import BenchError
from ._rows import Rows, RowWorker, results_file
from .procedures import BenchProcedure, RecordBits, RecordingProgress, RecordingSummary

log = logging.getLogger(__name__)

_LOOK = 0.1  # s between looks at the worker


def run(
    procedure: RecordBits,
    csv_path: str | os.PathLike[str],
    progress: Callable[[RecordingProgress], None] | None = None,
) -> RecordingSummary:
    """Run a recording to its end in a Worker, its block rows in a new CSV file; returns its summary.

    `progress` is called in this thread about ten times a second. Ctrl-C and SIGTERM (while a bench is open) stop the
    procedure, and are raised again once it has switched off. Raises what ended the procedure (BenchError,
    BoardError, StoreError …).
    """
    run_procedure(procedure, csv_path, None if progress is None else lambda: progress(procedure.progress))
    if procedure.summary is None:
        raise BenchError("the recording was stopped before its first block")
    return procedure.summary


def run_procedure(
    procedure: BenchProcedure, csv_path: str | os.PathLike[str], look: Callable[[], None] | None = None
) -> None:
    """Run any procedure of the bench; `look` is called in this thread about ten times a second."""
    procedure.check_parameters()
    path = Path(csv_path)
    results = results_file(procedure, path)
    with Rows(results, path) as rows:
        worker = RowWorker(results, rows)
        worker.start()
        try:
            _wait(worker, look)
        except BaseException:
            worker.stop()
            _wait_through_interrupts(worker)
            raise
        if procedure.failure is not None:
            raise procedure.failure
        if procedure.status not in (Procedure.FINISHED, Procedure.ABORTED):
            raise BenchError(f"pymeasure ended the procedure with the status {procedure.status}")


def _wait(worker: Any, look: Callable[[], None] | None) -> None:
    while worker.is_alive():
        # Not worker.join: pymeasure's stops the thread when the time is over.
        threading.Thread.join(worker, _LOOK)
        if look is not None:
            look()


def _wait_through_interrupts(worker: Any) -> None:
    """Wait for the shutdown to end, whatever else comes: the bench may only be closed after it."""
    while worker.is_alive():
        try:
            threading.Thread.join(worker, _LOOK)
        except KeyboardInterrupt:
            log.warning("switching off; a moment, please")
