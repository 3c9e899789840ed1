"""`memtj record` on every way out: outputs end off, and the accounts add up to the bit."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import instruments
from entropy import Store
from entropy.testing import sound_accounts
from mock_hw import Lab, LabSettings
from tests.memtj.conftest import posix_only

pytestmark = posix_only


def test_success(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    outcome = memtj_here("record", bench, "--store", store, "--bits", "2e7", "--json", status=0).json
    assert not lab.output_is_on()
    assert outcome["bits"] == sound_accounts(store).recorded >= 20_000_000
    assert outcome["simulated"] is True
    assert sum(outcome["energy_per_bit"][term] for term in ("write", "read", "reset")) == pytest.approx(
        outcome["energy_per_bit"]["total"]
    )
    # 16 rows of two steps of period and settle: 32 µs for 1,024 bits, less what failed.
    assert outcome["device_bits_per_s"] == pytest.approx(1024 / (16 * 2 * 1.006e-6), rel=0.01)
    lines = next((store / "recordings").glob("*.csv")).read_text().splitlines()
    assert sum(line[0] != "#" for line in lines) == 1 + outcome["blocks"]


def endless(bench: Path, store: Path) -> tuple[object, ...]:
    return "record", bench, "--store", store, "--bits", "0", "--ahead", "8e6", "--block-bits", "1e6"


def test_a_second_recorder_is_refused_and_the_first_goes_on_until_ctrl_c(
    start: Callable, end: Callable, memtj_here: Callable, recorded: Callable, lab, bench: Path, tmp_path: Path,
) -> None:  # fmt: skip
    store = tmp_path / "store"
    first: subprocess.Popen[str] = start(*endless(bench, store))
    lab.wait_for_output(True)
    recorded(store, 8_000_000)
    second = memtj_here("record", bench, "--store", tmp_path / "b", "--bits", "1e6", status=1)
    assert len(second.stderr.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in second.stderr
    assert lab.output_is_on()
    end(first, signal.SIGINT, status=130)
    assert not lab.output_is_on()
    assert sound_accounts(store).recorded >= 8_000_000


def test_terminated(meanwhile: Callable, recorded: Callable, lab, bench: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def terminate() -> None:
        recorded(store, 8_000_000)
        assert lab.output_is_on()
        os.kill(os.getpid(), signal.SIGTERM)

    done = meanwhile(terminate, *endless(bench, store), status=143)
    assert "Traceback" not in done.stderr
    assert not lab.output_is_on()
    assert sound_accounts(store).recorded >= 8_000_000


@pytest.mark.slow
def test_killed(
    start: Callable, memtj_here: Callable, recorded: Callable, lab, bench: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    recorder: subprocess.Popen[str] = start(*endless(bench, store), "--no-calibrate")
    lab.wait_for_output(True)
    recorded(store, 1)
    recorder.kill()
    recorder.wait(10)
    lab.wait_for_output(False, 10)
    before = sound_accounts(store).recorded
    # The next recording goes on without any repair.
    memtj_here("record", bench, "--store", store, "--bits", "1e6", "--no-calibrate", status=0)
    assert sound_accounts(store).recorded >= before + 1_000_000


def test_bench_off_works_against_another_owner(
    meanwhile: Callable, memtj: Callable, recorded: Callable, lab, bench: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s"

    def off() -> None:
        recorded(store, 8_000_000)
        memtj("bench", "off", bench, status=0)
        assert not lab.output_is_on()

    assert meanwhile(off, *endless(bench, store), "--no-calibrate", status=1).sentence.startswith("memtj: ")
    sound_accounts(store)


def test_a_generator_and_a_source_meter(memtj_here: Callable, tmp_path: Path) -> None:
    """A few thousand pulses to measure and test the junction, some hundred of which bits come."""
    boxes = {"generator": {"kind": "agilent-33500"}, "meter": {"kind": "keithley-2400", "leads": 2.0}}
    settings = {
        "junctions": {"mtj": {}},
        "boxes": {name: box | {"junction": "mtj"} for name, box in boxes.items()},
    }
    bench, store = tmp_path / "bench.toml", tmp_path / "store"
    text = Path(instruments.__file__).with_name("example_bench_33500_2400.toml").read_text("utf-8")
    with Lab(LabSettings.model_validate(settings), seed=3) as lab:
        for port, name in ((5025, "generator"), (5026, "meter")):
            text = text.replace(f"TCPIP::127.0.0.1::{port}::SOCKET", lab.resources[name])
        bench.write_text(text, "utf-8")
        point = (
            "--voltage", 0.288, "--width", 500e-9, "--period", 1.2e-6, "--reset-voltage", -0.335,
            "--reset-width", 500e-9, "--read-voltage", 0.05, "--settle", 1e-4,
        )  # fmt: skip
        outcome = memtj_here(
            "record", bench, "--store", store, "--bits", 300, "--no-calibrate", *point, "--json", status=0
        ).json
        assert memtj_here("bench", "check", bench, "--json", status=0).json["ok"]
        assert lab.junctions["mtj"].largest_voltage <= 0.45
    assert outcome["simulated"] is True
    assert outcome["bits"] == sound_accounts(store).recorded >= 300
    assert outcome["identity"].count("SIM-") == 2
    assert 1 < outcome["device_bits_per_s"] < 1e5
    # 300 bits beside the 2,048 pulses of the start-up: six standard deviations at most.
    assert outcome["ones_fraction"] == pytest.approx(
        outcome["p_sw_mean"], abs=6 * 0.5 * (1 / 300 + 1 / 2048) ** 0.5
    )
    with Store(store) as opened:
        (buffer,) = opened.buffers()
        assert buffer.simulated
        assert set(opened.rows(buffer.uuid)["temperature"]) == {300.0}
