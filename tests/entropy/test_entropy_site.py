"""Where a store may live, and what happens to one that is found elsewhere."""

import shutil
from pathlib import Path

import pytest

from entropy import Store, StoreError, adopt
from entropy.ledger._site import machine_id, network_file_system

from .conftest import spend, states

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/scratch tmpfs rw 0 0
//nas/lab /mnt/lab\\040share cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
host0 /mnt/host 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/store", None),
        ("/home/me/store", "nfs4"),
        ("/home/me/scratch/store", None),
        ("/homes/me", None),
        ("/mnt/lab share/store", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/mnt/host/x", None),
    ],
)
def test_network_file_systems_are_told_by_the_innermost_mount(path, kind):
    assert network_file_system(Path(path), MOUNTS) == kind


def test_a_store_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("entropy.ledger._site._mounts", lambda: [("/", "nfs4")])
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)"):
        Store(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_moved_store_is_refused_until_it_is_adopted_and_keeps_its_free_bits(store, made, tmp_path):
    made.fill(store, [4])
    spend(store, 100)
    store.close()
    shutil.move(store.path, tmp_path / "moved")
    with pytest.raises(StoreError, match=r"adopt PATH --moved.*--copied.*entropy.adopt"):
        Store(tmp_path / "moved")
    adopt(tmp_path / "moved", moved=True)
    with Store(tmp_path / "moved") as again:
        assert states(again) == (924, 0, 100, 0, 0)
        assert again.uuid == store.uuid


def test_a_copied_store_burns_its_free_bits_even_those_it_had_not_seen(store, made, tmp_path):
    """The copy is made of a live recording, with a lease open and rows that the ledger has not entered."""
    made.fill(store, [4])
    with made.recording(store) as record, store.lease(100, purpose="test") as lease:
        made.append(record, made.cells()["column"] % 2)
        shutil.copytree(store.path, tmp_path / "copy")
        lease.read(100)
    adopt(tmp_path / "copy", moved=False)
    with Store(tmp_path / "copy") as copy:
        assert states(copy) == (0, 0, 0, 1024 + made.count, 0)
        assert copy.uuid != store.uuid
        assert copy.verify().ok
        made.fill(copy, [2])
        assert copy.accounts().free == 512
    assert store.accounts().free == 924 + made.count


def test_a_store_from_another_computer_is_refused(store, monkeypatch):
    store.close()
    monkeypatch.setattr("entropy.ledger._opening.machine_id", lambda: "another")
    with pytest.raises(StoreError, match="on another computer"):
        Store(store.path)


def test_the_machine_has_a_stable_name():
    assert machine_id() == machine_id() != ""


def test_a_store_that_is_not_there_is_not_made_by_those_who_only_look(tmp_path):
    with pytest.raises(StoreError, match=r"is no store \(it has no ledger.sqlite\)"):
        Store(tmp_path / "s", create=False)
    assert not (tmp_path / "s").exists()


def test_buffers_without_their_ledger_are_no_store(store, made):
    made.fill(store, [4])
    store.close()
    (store.path / "ledger.sqlite").unlink()
    with pytest.raises(StoreError, match="which bits are spent"):
        Store(store.path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be used as a store"):
        Store(tmp_path / "file")


def test_a_link_to_a_store_is_the_same_store(store, tmp_path):
    link = tmp_path / "link"
    try:
        link.symlink_to(store.path, target_is_directory=True)
    except OSError:
        pytest.skip("this account may not make links")
    with Store(link) as again:
        assert again.uuid == store.uuid
