"""`memtj lab` with faults, a pace and a state, as a user meets them at the command line."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entropy import Store
from mock_hw import Lab
from mock_hw.testing import BoardClient
from tests.memtj.conftest import COLUMNS, ROWS, bench_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")

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


def accounts_add_up(store: Path) -> int:
    with Store(store, create=False) as opened:
        report, accounts = opened.verify(), opened.accounts()
    assert report.ok, report.problems
    assert accounts.balanced
    assert accounts.recorded == accounts.free
    return accounts.recorded


def test_broken_cells_are_reported(serve: Callable, memtj_here: Callable, tmp_path: Path) -> None:
    serve('kind = "short"\ncells = 3', 'kind = "stuck"\nrow = 1\ncolumn = 2\nstate = "AP"')
    done = memtj_here(
        "record", tmp_path / "bench.toml", "--store", tmp_path / "s", "--bits", "1e6", "--json", status=0
    )
    outcome = json.loads(done.stdout)
    reasons = [reason for _, _, reason in outcome["quarantined"]]
    assert outcome["quarantined_cells"] == 4
    assert reasons.count("shorted") == 3
    assert [1, 2] in [cell[:2] for cell in outcome["quarantined"]]
    assert outcome["bits"] == accounts_add_up(tmp_path / "s")


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
    recorded = accounts_add_up(store)
    assert recorded >= 30 * 999_424
    assert recorded % 999_424 == 0


def test_an_array_that_fails_its_health_tests_ends_the_recording(
    serve: Callable, memtj_here: Callable, tmp_path: Path
) -> None:
    """Pulses lose their voltage, 1 V in 2 s of the board's time: cells stick, and the outputs go off."""
    serve('kind = "drift"\nvolts_per_hour = -1800\nafter_blocks = 8', 'kind = "fifo"\nblocks = 2')
    store = tmp_path / "s"
    command = ("record", tmp_path / "bench.toml", "--store", store, *RECORD)
    done = memtj_here(*command, "--bits", "1e10", status=1)
    last = done.sentence
    assert last.startswith("memtj: the health tests have stopped the recording: ")
    assert "cells failed while it ran (first row " in last
    assert memtj_here("bench", "off", tmp_path / "bench.toml", "--json").returncode == 0
    with Store(store, create=False) as opened:
        report, accounts = opened.verify(), opened.accounts()
        rows = opened.rows(opened.buffers()[0].uuid)
    assert report.ok, report.problems
    assert accounts.balanced
    assert accounts.recorded == report.bits
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
    said = done.stdout.split(" On the way: ")[1]
    assert "1 lost connection came back, " in said
    assert "blocks never arrived, 1 block stayed damaged and was left out." in said
    assert accounts_add_up(store) == 60 * 999_424
    with Store(store, create=False) as opened:
        rows = opened.rows(opened.buffers()[0].uuid)
    assert (rows["sequence"] == 0).sum() == 2


def test_bench_check_finds_the_wrong_identity_and_what_is_queued(
    serve: Callable, memtj_here: Callable, tmp_path: Path
) -> None:
    resource = serve('kind = "error"\nnumber = -350', 'kind = "interlock"')
    done = memtj_here("bench", "check", tmp_path / "bench.toml", status=1)
    assert "WRONG board: error queue: " in done.stdout
    assert "Queue overflow; simulated fault" in done.stdout
    assert "WRONG board: interlock: open" in done.stdout
    with BoardClient(resource, timeout=5) as client:
        assert client.ask("SIM:FAUL:CLE;IDEN MODEL2400;*OPC?") == "1"
    done = memtj_here("bench", "check", tmp_path / "bench.toml", status=1)
    assert "WRONG board: identity: " in done.stdout
    assert "MODEL2400" in done.stdout


@pytest.mark.slow
def test_pace_and_state(
    start: Callable, memtj_here: Callable, patience: Callable[[float], float], tmp_path: Path
) -> None:
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
        "--no-calibrate", "--json",
    status=0)  # fmt: skip
    assert json.loads(done.stdout)["seconds"] > 1.25
    served.send_signal(signal.SIGINT)
    served.communicate(timeout=patience(20))
    assert served.returncode == 0


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
        done = memtj_here("lab", *arguments, status=1)
        assert part in done.sentence
    assert damaged.read_bytes() == b"PK\x03\x04 no state"
    assert memtj_here("lab", "--pace", "slow").returncode == 2


def test_describe_says_what_the_devices_are_and_ends(memtj_here: Callable) -> None:
    done = memtj_here("lab", "--describe", status=0)
    assert "thermal stability" in done.stdout
    assert "mT" in done.stdout
    done = memtj_here("lab", "--describe", "--device", "B", "--json")
    assert json.loads(done.stdout)["board"]["set"].startswith("B")
    done = memtj_here("lab", "--device", "Q", status=1)
    assert "there is no device 'Q'" in done.sentence
