"""What a user gets wrong: one clear sentence each, exit code not 0, nothing lost."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from entropy import Store
from entropy.testing import random_blocks, record_blocks
from tests.conftest import missing
from tests.memtj.conftest import bench_of


@pytest.fixture(scope="module")
def other_box() -> Iterator[str]:
    """A box that is no array board."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                if line.strip() == b"*IDN?":
                    self.wfile.write(b"KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C30\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"TCPIP::127.0.0.1::{server.server_address[1]}::SOCKET"
        server.shutdown()


def test_wrong_key_in_the_bench_file(memtj_here: Callable, tmp_path: Path) -> None:
    bench = tmp_path / "bench.toml"
    bench.write_text(bench_of("TCPIP::127.0.0.1::1::SOCKET").replace("pulse_width =", "pulse_widht ="))
    said = memtj_here("bench", "check", bench, status=1).sentence
    line = next(n for n, text in enumerate(bench.read_text().splitlines(), 1) if "pulse_widht" in text)
    assert missing(said, "pulse_widht", str(bench), f"line {line}") == []


def test_missing_bench_file(memtj_here: Callable, tmp_path: Path) -> None:
    record = ("record", tmp_path / "nowhere.toml", "--store", tmp_path / "s", "--bits", 8)
    assert "nowhere.toml" in memtj_here(*record, status=1).sentence
    assert not (tmp_path / "s").exists()


def test_unreachable_resource(memtj_here: Callable, tmp_path: Path) -> None:
    bench = tmp_path / "bench.toml"
    bench.write_text(bench_of("TCPIP::127.0.0.1::9::SOCKET"))
    record = ("record", bench, "--store", tmp_path / "s", "--bits", 8)
    assert "TCPIP::127.0.0.1::9::SOCKET" in memtj_here(*record, status=1).sentence
    assert "WRONG board: reachable" in memtj_here("bench", "check", bench, status=1).stdout


def test_wrong_instrument(memtj_here: Callable, other_box: str, tmp_path: Path) -> None:
    bench = tmp_path / "bench.toml"
    bench.write_text(bench_of(other_box))
    assert (
        "MODEL 2400" in memtj_here("record", bench, "--store", tmp_path / "s", "--bits", 8, status=1).sentence
    )
    memtj_here("bench", "check", bench, status=1)


def test_a_pulse_above_the_limit(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    said = memtj_here(
        "record", bench, "--store", tmp_path / "s", "--bits", 8, "--voltage", 1.9, status=1
    ).sentence
    assert missing(said, "1.9", "1.8") == []
    assert not lab.output_is_on()


@pytest.fixture
def small_store(tmp_path: Path) -> Path:
    """A store with 2^20 free bits."""
    record_blocks(tmp_path / "small", random_blocks(1, 2**17, seed=1), cells=4096)
    return tmp_path / "small"


def test_too_few_bits(memtj_here: Callable, small_store: Path, tmp_path: Path) -> None:
    done = memtj_here(
        "sample", "--store", small_store, "--out", tmp_path / "out", "--images", 2, "--steps", 100, status=1
    )
    assert missing(done.sentence, f"{2 * 784 * 100 * 64:,}", f"{2**20:,}") == []
    assert "bill:" in done.stdout
    with Store(small_store) as store:
        assert store.accounts().free == 2**20


def test_missing_and_foreign_checkpoints(memtj_here: Callable, small_store: Path, tmp_path: Path) -> None:
    common = ("sample", "--store", small_store, "--out", tmp_path / "out", "--images", 1, "--steps", 2)
    assert str(tmp_path / "none") in memtj_here(*common, "--model", tmp_path / "none", status=1).sentence
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "model.safetensors").write_bytes(b"this is no network")
    (foreign / "card.json").write_text("{}")
    assert str(foreign) in memtj_here(*common, "--model", foreign, status=1).sentence
    with Store(small_store) as store:
        assert store.accounts().free == 2**20


def test_other_mistakes(memtj_here: Callable, small_store: Path, tmp_path: Path) -> None:
    common = ("sample", "--images", 1, "--steps", 2)
    from_store = ("--store", small_store, "--out", tmp_path / "o")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    cases = {
        "no store": [*common, "--store", tmp_path / "nothing", "--out", tmp_path / "o"],
        "not an empty folder": [*common, "--store", small_store, "--out", tmp_path / "full"],
        "ddqm": [*common, *from_store, "--scheduler", "ddqm"],
        "xorx": [*common, *from_store, "--conditioning", "xorx"],
        "leave it out": [*common, "--source", "os", "--min-entropy", 0.5, "--out", tmp_path / "o"],
        "not assessed); run 'memtj assess'": [*common, *from_store, "--min-entropy", 0.5],
        "not with os": [*common, *from_store, "--source", "os"],
        "is not an empty": ["demo", "--out", tmp_path / "full"],
        "provenance": ["replay", tmp_path / "full" / "file"],
        "fills the disk": ["record", tmp_path / "bench.toml", "--store", tmp_path / "o", "--bits", 0],
        "ledger.sqlite": ["store", "verify", tmp_path / "full"],
        "exactly one": ["store", "adopt", small_store],
    }
    for part, arguments in cases.items():
        assert part in memtj_here(*arguments, status=1).sentence
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").iterdir())
    with Store(small_store) as store:
        assert store.accounts().free == 2**20


def test_a_damaged_block_is_named(memtj_here: Callable, small_store: Path) -> None:
    memtj_here("store", "verify", small_store, status=0)
    buffer = next(small_store.glob("*.h5"))
    content = bytearray(buffer.read_bytes())
    at = content.find(np.random.default_rng(1).integers(0, 256, 2**17, np.uint8).tobytes())
    assert at > 0
    content[at + 1000] ^= 4
    buffer.write_bytes(content)
    done = memtj_here("store", "verify", small_store, status=1)
    assert missing(done.stdout, buffer.name, "block 0") == []
