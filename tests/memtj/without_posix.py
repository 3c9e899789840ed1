"""Import every module, and use a store and a lab, where nothing of POSIX is there, as on Windows: FOLDER.

What is taken away is missing there too (fcntl, pty, os.fork …); msvcrt, by which files are locked there, is stood in
for by another name of this system's own locks. Libraries keep what they have: they have their own ways on Windows.
"""

import ctypes
import errno
import importlib
import importlib.abc
import os
import pkgutil
import shutil
import signal
import sys
import types
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

PACKAGES = ("entropy", "drivers", "instruments", "sampler", "mock_hw", "memtj")
MODULES = """
fcntl grp posix pty pwd resource spwd syslog termios tty
"""
NAMES = """
WNOHANG O_CLOEXEC O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC chown chroot copy_file_range
ctermid eventfd fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs getegid geteuid getgid
getgroups getloadavg getpgid getpgrp getpriority getrandom getresuid getuid initgroups killpg lchown lockf
major memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise posix_fallocate
posix_spawn pread preadv pwrite pwritev readv register_at_fork sched_getaffinity sched_setaffinity
sched_yield sendfile setgid setpgid setpriority setsid setuid set_blocking statvfs sync sysconf tcgetpgrp
tcsetpgrp ttyname uname wait wait3 wait4 waitid waitpid writev
"""
SIGNALS = """
SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm pthread_kill pthread_sigmask setitimer
"""
LIBRARIES = """
PIL.Image diffusers h5py isal.isal_zlib jinja2 matplotlib.pyplot numba psutil pymeasure.experiment pyvisa
scipy.stats serial tempfile torch typer uuid
"""
OURS = str(Path(__file__).parents[2])


class _Missing(importlib.abc.MetaPathFinder):
    """Finds nothing of POSIX for code of ours."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> None:
        frame = sys._getframe(1)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        ours = frame is not None and frame.f_code.co_filename.startswith(
            tuple(f"{OURS}/{one}" for one in PACKAGES)
        )
        if name.partition(".")[0] in MODULES.split() and ours:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def stand_in() -> types.ModuleType:
    """Give a msvcrt whose locks are those of this system; they belong to an open file, as on Windows."""
    flock, errors = ctypes.CDLL(None, use_errno=True).flock, ctypes.get_errno
    module = types.ModuleType("msvcrt")

    def locking(descriptor: int, mode: int, size: int) -> None:
        assert (mode, size) == (2, 1)
        if flock(descriptor, 2 | 4):  # LOCK_EX | LOCK_NB
            code = errno.EACCES if errors() == errno.EWOULDBLOCK else errors()
            raise OSError(code, os.strerror(code))

    vars(module).update(LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2, locking=locking)
    return module


def take_posix_away() -> None:
    for name in LIBRARIES.split():
        importlib.import_module(name)
    os.environ["PYVISA_LIBRARY"] = "@py"  # pyvisa asks Linux's ldconfig for another one
    statvfs = os.statvfs

    def room(path: Path) -> tuple[int, int, int]:
        found = statvfs(path)
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return shutil._ntuple_diskusage(total, total - free, free)  # type: ignore[attr-defined]

    shutil.disk_usage = room  # Windows has its own
    for name in NAMES.split():
        os.__dict__.pop(name, None)
    for name in SIGNALS.split():
        signal.__dict__.pop(name, None)
    for name in MODULES.split():
        sys.modules.pop(name, None)
    sys.modules["msvcrt"] = stand_in()
    sys.meta_path.insert(0, _Missing())


def import_everything() -> int:
    count = 0
    for package in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
                count += 1
    return count


def use_a_store(folder: Path) -> None:
    import numpy as np

    from entropy import FileLock, PrunePolicy, Store, export_bits, move_blocks, rewrite, salvage
    from entropy.ledger._locks import is_free
    from entropy.testing import append_bits, start_recording

    with Store(folder / "store") as store:
        with start_recording(store, 64, rotate_bytes=4096, durable=0.01, resistances=8) as recording:
            for number in range(8):
                append_bits(recording, np.random.default_rng(number).integers(0, 256, 1024, dtype=np.uint8))
                recording.append_resistances(np.ones(1))
            with store.lease(5000, purpose="test") as lease:
                assert len(lease.read(5000)) == 625
        assert sum(1 for _ in store.follow(recording.uuid)) == 8
        report = store.verify()
        assert report.ok, report.problems
        export_bits(store, folder / "bits", bits=1000)
        first, second = store.buffers()
        with Store(folder / "other") as other:
            move_blocks(store, second.uuid, (0, 3), other)
            assert other.verify().ok
        store.prune(PrunePolicy(burn_unspent=True), archive=folder / "shelf", dry_run=False)
        assert store.accounts().balanced
        assert first.blocks == second.blocks == 4
    assert [step.outcome for step in rewrite(folder / "other")] == ["current"]
    assert salvage(folder / "other").problems == []
    path = folder / "some.lock"
    held = FileLock(path)
    assert held.held
    assert not is_free(path)
    assert not FileLock(path, wait=False).held
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(FileLock, path)
        assert not wait([waiting], 0.05).done
        held.release(remove=True)
        waiting.result().release()
    assert is_free(path)


def use_a_lab(folder: Path) -> None:
    from memtj._cli import run
    from memtj._example_bench import example_bench
    from mock_hw._errors import LabError
    from mock_hw._state_file import StateFile
    from mock_hw.testing import board_lab

    file = StateFile(folder / "state")
    with pytest.raises(LabError, match="in use by another lab"):
        StateFile(folder / "state")
    file.close()
    with board_lab(rows=8, columns=8, seed=7) as lab:
        bench = folder / "bench.toml"
        text = example_bench(lab.resources["board"])
        for side in ("rows", "columns"):
            text = text.replace(f"{side} = 64", f"{side} = 8")
        bench.write_text(text, encoding="utf-8")
        record = [
            "record",
            str(bench),
            "--store",
            str(folder / "recorded"),
            "--bits",
            "1e4",
            "--mode",
            "toggle",
        ]
        assert run(record) == 0
        assert run(["bench", "off", str(bench)]) == 0
    assert run(["store", "verify", str(folder / "recorded")]) == 0
    with pytest.raises((LabError, OSError), match="no pseudo-terminals"):
        board_lab(wire="serial").__enter__()


def main(folder: Path) -> None:
    take_posix_away()
    print(import_everything(), "modules")
    use_a_store(folder)
    use_a_lab(folder)
    print("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
