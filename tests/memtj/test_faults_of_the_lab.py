"""`memtj lab` with faults, a pace and a state, as a user meets them at the command line."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import sound_accounts
from mock_hw import Lab
from mock_hw.testing import BoardClient
from tests.conftest import missing
from tests.memtj.conftest import COLUMNS, ROWS, all_free, bench_of, posix_only

pytestmark = posix_only

BOX = f'[boxes.board]\nkind = "array-board"\nrows = {ROWS}\ncolumns = {COLUMNS}\n'
RECORD = ("--mode", "toggle", "--no-calibrate")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve a lab with these fault tables; gives the resource of its board, for which a bench file is there."""
    with contextlib.ExitStack() as served:

        def start(*faults: str) -> str:
            file = tmp_path / "lab.toml"
            file.write_text(BOX + "".join(f"[[boxes.board.faults]]\n{fault}\n" for fault in faults))
            resource = served.enter_context(Lab.from_toml(file, seed=7)).resources["board"]
            (tmp_path / "bench.toml").write_text(bench_of(resource))
            return resource

        yield start


def test_broken_cells_are_reported(serve: Callable, memtj_here: Callable, tmp_path: Path) -> None:
    serve('kind = "short"\ncells = 3', 'kind = "stuck"\nrow = 1\ncolumn = 2\nstate = "AP"')
    outcome = memtj_here(
        "record", tmp_path / "bench.toml", "--store", tmp_path / "s", "--bits", "1e6", "--json", status=0
    ).json
    reasons = [reason for _, _, reason in outcome["quarantined"]]
    assert outcome["quarantined_cells"] == 4
    assert reasons.count("shorted") == 3
    assert [1, 2] in [cell[:2] for cell in outcome["quarantined"]]
    assert outcome["bits"] == all_free(tmp_path / "s")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ('kind = "drop"\nafter_blocks = 40', "is lost"),
        ('kind = "interlock"\nafter_blocks = 40', "Interlock open"),
    ],
    ids=["drop", "interlock"],
)
def test_one_sentence_and_no_bit_is_lost(
    serve: Callable, memtj_here: Callable, tmp_path: Path, fault: str, said: str
) -> None:
    serve(fault)
    store = tmp_path / "s"
    command = ("record", tmp_path / "bench.toml", "--store", store, *RECORD)
    done = memtj_here(*command, "--bits", "2e8", "--block-bits", "1e6", "--retries", 0, status=1)
    assert said in done.sentence
    memtj_here("bench", "off", tmp_path / "bench.toml", "--json", status=0)
    # Some of the 40 blocks measured the cells. The others are in the store as a whole, and so are those that an open
    # interlock has left in the FIFO.
    recorded = all_free(store)
    assert recorded >= 30 * 999_424
    assert recorded % 999_424 == 0


def test_an_array_that_fails_its_health_tests_ends_the_recording(
    serve: Callable, memtj_here: Callable, tmp_path: Path
) -> None:
    """Pulses lose their voltage, 1 V in 2 s of the board's time: cells stick, and the outputs go off."""
    serve('kind = "drift"\nvolts_per_hour = -1800\nafter_blocks = 8', 'kind = "fifo"\nblocks = 2')
    store = tmp_path / "s"
    command = ("record", tmp_path / "bench.toml", "--store", store, *RECORD)
    last = memtj_here(*command, "--bits", "1e10", status=1).sentence
    assert last.startswith("memtj: the health tests have stopped the recording: ")
    assert "cells failed while it ran (first row " in last
    memtj_here("bench", "off", tmp_path / "bench.toml", "--json", status=0)
    with Store(store, create=False) as opened:
        accounts, rows = sound_accounts(opened), opened.rows(opened.buffers()[0].uuid)
    assert accounts.withheld == rows["bits"][rows["health"] != 0].sum() > 0
    assert accounts.free == accounts.recorded - accounts.withheld > 0


def test_faults_on_the_way_are_survived_and_told(
    serve: Callable, memtj_here: Callable, tmp_path: Path
) -> None:
    serve(
        'kind = "skip"\nafter_blocks = 12\ncount = 2',
        'kind = "corrupt"\nafter_blocks = 16\ncount = 4',
        'kind = "duplicate"\nafter_blocks = 20',
        'kind = "drop"\nafter_blocks = 40',
        'kind = "refuse"\nafter_blocks = 40\nseconds = 0.3',
    )
    store = tmp_path / "s"
    command = ("record", tmp_path / "bench.toml", "--store", store, *RECORD)
    done = memtj_here(*command, "--bits", 60 * 999_424, "--block-bits", "1e6", status=0)
    assert "Traceback" not in done.stderr
    assert "the connection to the board is lost; trying to have it back" in done.stderr
    lost = "blocks never arrived, 1 block stayed damaged and was left out."
    assert missing(done.stdout.split(" On the way: ")[1], "1 lost connection came back, ", lost) == []
    assert all_free(store) == 60 * 999_424
    with Store(store, create=False) as opened:
        rows = opened.rows(opened.buffers()[0].uuid)
    assert (rows["sequence"] == 0).sum() == 2


def test_bench_check_finds_the_wrong_identity_and_what_is_queued(
    serve: Callable, memtj_here: Callable, tmp_path: Path
) -> None:
    resource = serve('kind = "error"\nnumber = -350', 'kind = "interlock"')
    done = memtj_here("bench", "check", tmp_path / "bench.toml", status=1)
    queued = ("WRONG board: error queue: ", "Queue overflow; simulated fault", "WRONG board: interlock: open")
    assert missing(done.stdout, *queued) == []
    with BoardClient(resource, timeout=5) as client:
        assert client.ask("SIM:FAUL:CLE;IDEN MODEL2400;*OPC?") == "1"
    done = memtj_here("bench", "check", tmp_path / "bench.toml", status=1)
    assert missing(done.stdout, "WRONG board: identity: ", "MODEL2400") == []


@pytest.mark.slow
def test_pace_and_state(start: Callable, end: Callable, memtj_here: Callable, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(BOX)
    state = tmp_path / "lab.npz"
    served: subprocess.Popen[str] = start(
        "lab", tmp_path / "lab.toml", "--json", "--seed", 7, "--pace", "real", "--state", state
    )
    assert served.stdout is not None
    ready = json.loads(served.stdout.readline())
    (tmp_path / "bench.toml").write_text(bench_of(ready["resources"]["board"]))
    assert ready["seed"] == 7
    assert state.exists()
    refused = memtj_here("lab", tmp_path / "lab.toml", "--state", state, status=1)
    assert refused.sentence.startswith("memtj: the state file ")
    # 16 rows of 1.006 µs twice: 32 µs for a pulse of 1,024 bits, so 1.3 s by the board's clock and by the wall's.
    done = memtj_here(
        "record", tmp_path / "bench.toml", "--store", tmp_path / "s", "--bits", 1024 * 40_000,
        "--no-calibrate", "--json", status=0,
    )  # fmt: skip
    assert done.json["seconds"] > 1.25
    end(served, signal.SIGINT, status=0)


def test_mistakes_of_the_lab(memtj_here: Callable, tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(BOX + '[[boxes.board.faults]]\nkind = "short"\nrwo = 1\ncolumn = 2\n')
    damaged = tmp_path / "state.npz"
    damaged.write_bytes(b"PK\x03\x04 no state")
    cases = {
        "boxes.board.faults.0.short.rwo": (file,),
        "cannot be read as the state of a lab": ("--state", damaged),
        "cannot be locked": ("--state", tmp_path / "nowhere" / "state.npz"),
    }
    for part, arguments in cases.items():
        assert part in memtj_here("lab", *arguments, status=1).sentence
    assert damaged.read_bytes() == b"PK\x03\x04 no state"
    memtj_here("lab", "--pace", "slow", status=2)


def test_describe_says_what_the_devices_are_and_ends(memtj_here: Callable) -> None:
    assert missing(memtj_here("lab", "--describe", status=0).stdout, "thermal stability", "mT") == []
    assert memtj_here("lab", "--describe", "--device", "B", "--json").json["board"]["set"].startswith("B")
    assert "there is no device 'Q'" in memtj_here("lab", "--device", "Q", status=1).sentence
