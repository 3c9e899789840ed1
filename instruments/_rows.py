"""The rows of a procedure's CSV file, written as they come."""

import contextlib
import errno
import logging
import os
from pathlib import Path
from typing import Any

from pymeasure.experiment import Procedure, Results, Worker
from pymeasure.experiment.results import CSVFormatter

from ._errors import BenchError
from ._new_file import refuse_existing

log = logging.getLogger(__name__)


class Rows:
    """Appends rows to the file of `results`, whole or not at all; a context manager.

    The rows are a summary: what was measured is in the store, so a procedure goes on where they cannot be written,
    which is said once. A file that got no row, of a procedure that did not end well, is taken away again.
    """

    def __init__(self, results: Results, path: Path) -> None:
        self._results, self._path = results, path
        self._file = path.open("ab", buffering=0)
        self._end = self._file.tell()
        self._told = False
        self._any = False

    def write(self, record: dict[str, Any]) -> None:
        """Write one row; where it cannot be, what is there of it is cut off again."""
        line = (self._results.format(record) + "\n").encode()
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._end += len(line)
            self._any = True
        except OSError as error:
            if not self._told:
                log.error("rows cannot be written to %s (%s); the recording goes on", self._path, error)
            self._told = True
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()
        if not self._any and (kind is not None or self._results.procedure.status != Procedure.FINISHED):
            with contextlib.suppress(OSError):  # the folder may be gone, or another's by now
                self._path.unlink()


class RowWorker(Worker):
    """A Worker that writes its rows by itself.

    pymeasure's Recorder prints a traceback for each row that it cannot write, and dies of the last; and it closes its
    file before the last rows come, which opens it again.
    """

    def __init__(self, results: Results, rows: Rows) -> None:
        # No port, so no publisher on the network; the procedure keeps its exception, so no traceback in the log.
        super().__init__(results, log_level=logging.CRITICAL)
        results.data_filenames = []  # those of the Recorder
        self._rows = rows
        self.daemon = True

    def emit(self, topic: str, record: Any) -> None:
        """Write a row; the rest goes pymeasure's way."""
        if topic == "results":
            self.handle_record(record)
        else:
            super().emit(topic, record)

    def handle_record(self, record: dict[str, Any]) -> None:
        """Write a row; pymeasure comes here with those of a batch."""
        self._rows.write(record)


class _NumbersFormatter(CSVFormatter):
    """Formats rows of plain numbers: they need no units, which pint takes a second to learn."""

    def __init__(self, columns: list[str]) -> None:
        logging.Formatter.__init__(self)
        self.columns, self.units, self.delimiter = columns, {}, Results.DELIMITER


class _Results(Results):
    """pymeasure's Results of a new file, with its own formatter."""

    def __init__(self, procedure: Procedure, path: str) -> None:
        self.procedure, self.procedure_class = procedure, type(procedure)
        self.parameters = procedure.parameter_objects()
        self.formatter = _NumbersFormatter(procedure.DATA_COLUMNS)
        self.data_filename, self.data_filenames = path, [path]
        self._header_count = self._metadata_count = -1
        self._last_file_size, self._data = 0, None
        Path(path).write_text(self.header() + self.labels(), encoding=Results.ENCODING)


def results_file(procedure: Any, path: Path) -> Results:
    """Make a new file with the header of a procedure; raises BenchError where it exists or cannot be written."""
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Results(procedure, str(path))
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()  # half a header
        raise BenchError(f"{path} cannot be written ({error.strerror}): name another file") from error
