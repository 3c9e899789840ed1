"""Child processes of the demo: the simulated lab and the recorder, each ended on every way out."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from memtj._errors import CommandError
from memtj._interrupts import send_to_main


class Child:
    """A `memtj` command in a process of its own, as a context manager.

    The child has its own session, so that Ctrl-C at the terminal reaches this process alone, which then ends its
    children in the right order; it ends by itself when this process dies, because its standard input closes.
    Standard output is read as JSON lines, standard error goes to `log`.
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.name = arguments[0]
        self.log = log
        self._log = log.open("wb")
        detached: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "memtj", *arguments, "--exit-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            **detached,
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=f"read {self.name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                self._lines.put(value)
        self._lines.put(None)

    def result(self, timeout: float) -> dict[str, Any]:
        """Wait for the child's next JSON line; raises CommandError where none comes within `timeout` seconds."""
        value = self.answer(timeout)
        if value is None:
            raise CommandError(f"'memtj {self.name}' gave no answer within {timeout:g} s; see {self.log}.")
        return value

    def answer(self, timeout: float) -> dict[str, Any] | None:
        """Wait for the child's next JSON line; None where none comes yet, raises CommandError where it has ended."""
        try:
            value = self._lines.get(timeout=timeout)
        except queue.Empty:
            return None
        if value is None:
            self.process.wait(10)
            raise CommandError(self.complaint())
        return value

    def complaint(self) -> str:
        """Return one sentence on why the child failed: the last line that it wrote to its standard error."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1].removeprefix("memtj: ") if lines else f"exit code {self.process.returncode}"
        return f"'memtj {self.name}' failed: {last}"

    def check(self) -> None:
        """Raise CommandError when the child has ended with an error."""
        if self.process.poll() not in (None, 0):
            raise CommandError(self.complaint())

    def stop(self, patience: float = 15.0) -> None:
        """Ask the child to end (SIGTERM; its standard input closes too), and kill it after `patience` seconds."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        if self.process.poll() is None and os.name != "nt":
            self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def end_with_parent() -> None:
    """Send this process SIGTERM once its standard input closes: the process that started it is gone."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        send_to_main(signal.SIGTERM)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
