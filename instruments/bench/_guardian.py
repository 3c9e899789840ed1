"""A process of its own that makes a bench safe where this one dies or is late (docs/decisions/0026-the-guardian.md)."""

import _thread
import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from typing import Any

from .._errors import BenchError
from ._file import BenchFile
from ._opening import GUARDED

log = logging.getLogger(__name__)

DEADLINE = 5.0  # s without a sign of life after which it switches off; that of a board's watchdog
_SIGNS = 10  # of life within that time
_START = 60.0  # s; it has what drivers need to import
_LEAVE = 30.0  # s for which somebody waits for its first try
_ENDS = 5.0  # s, when it has nothing to do any more
# It gets this program's paths, so that it has the same packages and nothing of the folder that it happens to be in.
_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from instruments.bench._guard import guard
guard()
"""


class Guardian:
    """Watches over an open bench that has boxes without a watchdog; of another bench it is nothing.

    `begin` starts the process, `connect` has it open its own connections, and from `arm` on it makes every role safe,
    in the safe order, when this process ends without `end`, gives no sign of life for `deadline` seconds, or
    says that it could not do so itself.
    """

    def __init__(self, file: BenchFile, source: str, *, deadline: float = DEADLINE) -> None:
        self._file, self._source, self._deadline = file, source, deadline
        self._process: subprocess.Popen[bytes] | None = None
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._begun = self._armed = False
        self._over = threading.Event()
        self._writing = threading.Lock()

    def begin(self) -> None:
        """Start it, where the bench needs one; raises BenchError where no process can be had."""
        if not (self._file.bench.guardian and GUARDED & self._file.roles.given().keys()):
            return
        self._over.clear()
        self._said = queue.SimpleQueue()
        paths = [os.path.abspath(path) for path in sys.path]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE, json.dumps(paths)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # so that no Ctrl-C of a terminal, and not its end, reaches it
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise self._refusal(f"cannot be started ({error})") from error
        threading.Thread(
            target=self._listen, args=(self._process, self._said), name="guardian", daemon=True
        ).start()

    def connect(self) -> None:
        """Have it open its own connections, before anything is prepared; logs which boxes take none.

        Raises BenchError where it does not come so far.
        """
        if self._process is None:
            return
        self._begun = True
        setup = {"file": self._file.model_dump(), "source": self._source, "deadline": self._deadline}
        self._tell(json.dumps(setup))
        try:
            answer = self._said.get(timeout=_START)
        except queue.Empty:
            raise self._refusal(f"does not begin within {_START:g} s") from None
        if "without" not in answer:
            raise self._refusal("has ended before it began")
        for name, why in answer["without"].items():
            log.error(
                "the %r is switched off only after this program has ended, should it die or hang: %s",
                name,
                why,
            )

    def arm(self) -> None:
        """Have it act from now on; called before any output can be on."""
        if self._process is not None:
            self._armed = True
            self._tell("arm")
            threading.Thread(target=self._give_signs, name="signs of life", daemon=True).start()

    def end(self, safe: bool) -> None:
        """Let it go where all is `safe`, or else have it try what this process could not; never raises."""
        process, self._process = self._process, None
        if process is None:
            return
        self._over.set()
        act, self._armed = self._armed and not safe, False
        if not self._begun:
            process.kill()
        self._begun = False
        with contextlib.suppress(OSError):
            _send(process, "off" if act else "done")
        if act:
            self._report()
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(_ENDS)
        except subprocess.TimeoutExpired:
            if act:
                log.critical("the guardian goes on trying, for a minute at most")
            else:  # nothing is left for it to do
                process.kill()
            threading.Thread(target=process.wait, name="guardian's end", daemon=True).start()

    def _report(self) -> None:
        """Say what came of its own try."""
        try:
            findings = self._said.get(timeout=_LEAVE).get("findings", {})
        except queue.Empty:
            log.critical("the guardian does not say whether it could switch off: look at the boxes")
            return
        for name, detail in findings.items():
            log.critical("the guardian has tried once more: the %r: %s", name, detail)

    def _give_signs(self) -> None:
        while not self._over.wait(self._deadline / _SIGNS):
            try:
                self._tell("")
            except BenchError:
                return  # its end was noticed by who listens

    def _listen(self, process: "subprocess.Popen[bytes]", heard: "queue.SimpleQueue[dict[str, Any]]") -> None:
        """Pass on what it says; where it acts, or ends, while this process goes on, end that too."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                said = json.loads(line)
                if "reason" in said and not self._over.is_set():
                    log.critical("the guardian has switched the bench off: %s", said["reason"])
                heard.put(said)
        if self._armed and not self._over.is_set():
            log.critical(
                "nobody watches over the bench of %s any more, so this program leaves it", self._source
            )
            _thread.interrupt_main()
        heard.put({})

    def _tell(self, line: str) -> None:
        process = self._process
        if process is None:
            return
        try:
            with self._writing:
                _send(process, line)
        except OSError as error:
            raise self._refusal("has ended") from error

    def _refusal(self, what: str) -> BenchError:
        return BenchError(
            f"the guardian of {self._source}, which switches off should this program die, {what}: start again, or "
            "write guardian = false under [bench] to go without one"
        )


def _send(process: "subprocess.Popen[bytes]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()
