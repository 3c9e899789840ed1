"""`memtj train` with recorded bits: the bill suffices, and what is left is free again."""

import json
from collections.abc import Callable
from pathlib import Path

from entropy import Store


def test_training_with_recorded_bits(memtj: Callable, lab, bench: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert memtj("record", bench, "--store", store, "--bits", "8e7").returncode == 0
    done = memtj("train", tmp_path / "net", "--steps", 2, "--batch", 4, "--entropy", store, "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "net" / "card.json").read_text())
    (source,) = card["entropy"]["sources"]
    assert source["conditioning"] == "xor2"
    read = sum(bits for _, _, bits in source["ranges"])
    with Store(store) as opened:
        accounts = opened.accounts()
    assert accounts.balanced
    assert accounts.leased == accounts.burned == 0
    assert accounts.consumed == read
    # Its checkpoint draws pictures.
    done = memtj(
        "sample",
        "--source",
        "software",
        "--model",
        tmp_path / "net",
        "--images",
        1,
        "--steps",
        2,
        "--out",
        tmp_path / "o",
    )
    assert done.returncode == 0, done.stderr
