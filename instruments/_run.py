"""Runs a procedure by pymeasure's own Worker and Results, and waits until everything has ended."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymeasure.experiment import Procedure, Results, Worker

from ._errors import BenchError
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
    path = Path(csv_path)
    if path.exists():
        raise BenchError(f"{path} exists already: name a new file, results are never written over")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        results = Results(procedure, str(path))
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror}): name another file") from error
    # No port, so no publisher on the network; the procedure keeps its exception, so no traceback in the log.
    worker: Any = Worker(results, log_level=logging.CRITICAL)
    worker.daemon = True
    worker.start()
    try:
        _tell_of_lost_rows_once(worker, path)
        _wait(worker, look)
    except BaseException:
        worker.stop()
        _wait_through_interrupts(worker)
        raise
    finally:
        _close_files(worker)
    if procedure.failure is not None:
        raise procedure.failure
    if procedure.status not in (Procedure.FINISHED, Procedure.ABORTED):
        raise BenchError(f"the procedure ended as {Procedure.STATUS_STRINGS[procedure.status]}")


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


def _tell_of_lost_rows_once(worker: Any, path: Path) -> None:
    """Say once that rows cannot be written: the Recorder would print a traceback for each, and die of the last.

    The rows are a summary: what was measured is in the store, so the procedure goes on without them.
    """
    while worker.recorder is None and worker.is_alive():
        time.sleep(0.01)
    told: list[bool] = []

    def tell(*_: object) -> None:
        if not told:
            told.append(True)
            log.error("rows cannot be written to %s (%s); the recording goes on", path, sys.exc_info()[1])

    def closing(close: Callable[[], None]) -> Callable[[], None]:
        def closed() -> None:
            try:
                close()
            except OSError:
                tell()

        return closed

    for handler in worker.recorder.handlers if worker.recorder is not None else ():
        handler.handleError, handler.close = tell, closing(handler.close)


def _close_files(worker: Any) -> None:
    """Close what the Recorder opened: it closes its files before its last rows, which opens them again."""
    recorder = worker.recorder
    if recorder is None:
        return
    deadline = time.monotonic() + 5
    while recorder.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    for handler in recorder.handlers:
        handler.close()
