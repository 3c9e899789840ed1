"""What a user gets wrong: one clear sentence each, exit code not 0, nothing lost."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from entropy import Store
from entropy.testing import random_blocks, record_blocks
from tests.memtj.conftest import Done, bench_of


def sentence(done: Done) -> str:
    """The one sentence that a failed command ends with."""
    assert done.returncode not in (0, 2), done.stdout
    return done.sentence


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
    said = sentence(memtj_here("bench", "check", bench))
    assert "pulse_widht" in said
    assert str(bench) in said
    line = next(n for n, text in enumerate(bench.read_text().splitlines(), 1) if "pulse_widht" in text)
    assert f"line {line}" in said


def test_missing_bench_file(memtj_here: Callable, tmp_path: Path) -> None:
    assert "nowhere.toml" in sentence(
        memtj_here("record", tmp_path / "nowhere.toml", "--store", tmp_path / "s", "--bits", 8)
    )
    assert not (tmp_path / "s").exists()


def test_unreachable_resource(memtj_here: Callable, tmp_path: Path) -> None:
    bench = tmp_path / "bench.toml"
    bench.write_text(bench_of("TCPIP::127.0.0.1::9::SOCKET"))
    assert "TCPIP::127.0.0.1::9::SOCKET" in sentence(
        memtj_here("record", bench, "--store", tmp_path / "s", "--bits", 8)
    )
    done = memtj_here("bench", "check", bench, status=1)
    assert "WRONG board: reachable" in done.stdout


def test_wrong_instrument(memtj_here: Callable, other_box: str, tmp_path: Path) -> None:
    bench = tmp_path / "bench.toml"
    bench.write_text(bench_of(other_box))
    assert "MODEL 2400" in sentence(memtj_here("record", bench, "--store", tmp_path / "s", "--bits", 8))
    assert memtj_here("bench", "check", bench).returncode == 1


def test_a_pulse_above_the_limit(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    said = sentence(memtj_here("record", bench, "--store", tmp_path / "s", "--bits", 8, "--voltage", 1.9))
    assert "1.9" in said
    assert "1.8" in said
    assert not lab.output_is_on()


@pytest.fixture
def small_store(tmp_path: Path) -> Path:
    """A store with 2^20 free bits."""
    record_blocks(tmp_path / "small", random_blocks(1, 2**17, seed=1), cells=4096)
    return tmp_path / "small"


def test_too_few_bits(memtj_here: Callable, small_store: Path, tmp_path: Path) -> None:
    done = memtj_here(
        "sample", "--store", small_store, "--out", tmp_path / "out", "--images", 2, "--steps", 100
    )
    said = sentence(done)
    assert f"{2 * 784 * 100 * 64:,}" in said
    assert f"{2**20:,}" in said
    assert "bill:" in done.stdout
    with Store(small_store) as store:
        assert store.accounts().free == 2**20


def test_missing_and_foreign_checkpoints(memtj_here: Callable, small_store: Path, tmp_path: Path) -> None:
    common = ("sample", "--store", small_store, "--out", tmp_path / "out", "--images", 1, "--steps", 2)
    assert str(tmp_path / "none") in sentence(memtj_here(*common, "--model", tmp_path / "none"))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "model.safetensors").write_bytes(b"this is no network")
    (foreign / "card.json").write_text("{}")
    assert str(foreign) in sentence(memtj_here(*common, "--model", foreign))
    with Store(small_store) as store:
        assert store.accounts().free == 2**20


def test_other_mistakes(memtj_here: Callable, small_store: Path, tmp_path: Path) -> None:
    common = ("sample", "--images", 1, "--steps", 2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    cases = {
        "no store": [*common, "--store", tmp_path / "nothing", "--out", tmp_path / "o"],
        "not an empty folder": [*common, "--store", small_store, "--out", tmp_path / "full"],
        "ddqm": [*common, "--store", small_store, "--out", tmp_path / "o", "--scheduler", "ddqm"],
        "xorx": [*common, "--store", small_store, "--out", tmp_path / "o", "--conditioning", "xorx"],
        "leave it out": [*common, "--source", "os", "--min-entropy", 0.5, "--out", tmp_path / "o"],
        "not assessed); run 'memtj assess'": [
            *common,
            "--store",
            small_store,
            "--min-entropy",
            0.5,
            "--out",
            tmp_path / "o",
        ],
        "not with os": [*common, "--source", "os", "--store", small_store, "--out", tmp_path / "o"],
        "is not an empty": ["demo", "--out", tmp_path / "full"],
        "provenance": ["replay", tmp_path / "full" / "file"],
        "fills the disk": ["record", tmp_path / "bench.toml", "--store", tmp_path / "o", "--bits", 0],
        "ledger.sqlite": ["store", "verify", tmp_path / "full"],
        "exactly one": ["store", "adopt", small_store],
    }
    for part, arguments in cases.items():
        assert part in sentence(memtj_here(*arguments)), part
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").iterdir())
    with Store(small_store) as store:
        assert store.accounts().free == 2**20


def test_a_damaged_block_is_named(memtj_here: Callable, small_store: Path) -> None:
    assert memtj_here("store", "verify", small_store).returncode == 0
    buffer = next(small_store.glob("*.h5"))
    content = bytearray(buffer.read_bytes())
    at = content.find(np.random.default_rng(1).integers(0, 256, 2**17, np.uint8).tobytes())
    assert at > 0
    content[at + 1000] ^= 4
    buffer.write_bytes(content)
    done = memtj_here("store", "verify", small_store, status=1)
    assert buffer.name in done.stdout
    assert "block 0" in done.stdout
