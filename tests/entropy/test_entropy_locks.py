"""Locks that tell the living from the dead, and what is left of them."""

import threading

from entropy import Store
from entropy.ledger._locks import FileLock, is_free, remove_if_free


def test_locks_of_dead_writers_are_removed_and_those_of_living_ones_stay(store, made):
    folder = store.path
    dead, alive = folder / "locks" / "writer-dead.lock", folder / "locks" / "writer-alive.lock"
    dead.touch()
    lock = FileLock(alive)
    try:
        with Store(folder, create=False):
            assert not dead.exists()
            assert not is_free(alive)
    finally:
        lock.release(remove=True)


def test_who_waits_for_a_lock_whose_file_is_removed_takes_a_new_one(tmp_path, patience):
    path = tmp_path / "some.lock"
    held = FileLock(path)
    taken: list[FileLock] = []
    waiting = threading.Thread(target=lambda: taken.append(FileLock(path)))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    held.release(remove=True)
    waiting.join(patience(10))
    assert taken[0].held
    assert path.exists()
    assert not is_free(path)
    remove_if_free(path)
    assert path.exists()
    taken[0].release()
    remove_if_free(path)
    assert not path.exists()
