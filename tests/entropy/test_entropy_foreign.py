"""Another program spoils the buffer that is being recorded: the recorder ends, and what was closed before stays."""

import json
import os

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody replace a file that is open")

SAID = {
    "made anew": ("another program has cut it short",),
    "made anew, latest": ("another program has written into it", "another program has cut it short"),
    "emptied": ("another program has cut it short",),
    "halved": ("another program has cut it short",),
    "hollowed": ("another program has cut it short",),
    "hollowed late": ("another program has cut it short",),
    "scribbled": ("another program has written into it",),
    "replaced": ("another file was put in its place",),
    "deleted": ("it was deleted or moved away",),
}
MOMENTS = {"before a block": 1, "before a new segment": 2, "before resistances": 1, "at the end": 1}


def test_a_recorder_whose_file_is_spoiled_ends_with_one_sentence(run, tmp_path):
    # it ends, also when the interpreter closes HDF5
    found = json.loads(run("foreign_files.py", tmp_path, timeout=20))
    assert set(found) == {f"{way}, {moment}" for way in SAID for moment in MOMENTS}
    for way, faults in SAID.items():
        for moment, blocks in MOMENTS.items():
            one = found[f"{way}, {moment}"]
            assert any(
                f"is no longer the file that is being recorded: {fault}, so the {blocks} blocks"
                in one["said"]
                for fault in faults
            ), (way, moment, one["said"])
            assert one["left"] == [True, True], "the segment that was closed before is whole"
            assert one["balanced"]
            assert one["accounts"]["recorded"] >= 2 * 8 * 1024
