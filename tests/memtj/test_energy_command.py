"""`memtj energy`: terms by hand, from a store's own rows; areas and ratios; pictures; what a user gets wrong."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from entropy import FROM_BOTH, Store
from entropy.buffer._format import ACTION_DTYPE
from entropy.testing import append_bits, append_outcomes, array_cells, record_blocks, start_recording
from memtj.energy import energy_of_store, load_assumptions, total
from tests.conftest import missing

R_P, R_AP, READ, SETTLE = 78e3, 156e3, 0.1, 1e-6
RESET = {
    "mode": "reset", "period": 6e-9, "settle": SETTLE, "reset_voltage": 1.28, "reset_width": 0.58e-9,
}  # fmt: skip
HALF = np.full(16, 0x55, np.uint8)  # 128 bits, half of them 1


def terms_of(store: Path, **changed: float) -> dict[str, float | None]:
    assumed = load_assumptions()
    assumed = assumed.model_copy(
        update={
            name: getattr(assumed, name).model_copy(update={"value": value})
            for name, value in changed.items()
        }
    )
    with Store(store, read_only=True) as opened:
        return {term.name: term.joules for term in energy_of_store(opened, assumed).terms}


def at_bias(volts: float) -> float:
    tmr = (R_AP / R_P - 1) * (1 + (READ / 0.6) ** 2)
    return R_P * (1 + tmr / (1 + (volts / 0.6) ** 2))


@pytest.fixture
def reset_store(tmp_path: Path) -> Path:
    """Two blocks of two pulses of 64 cells, 4 µs and 100 µs by the clocks of board and host between them."""
    path = tmp_path / "bits"
    with Store(path) as store, start_recording(store, 64, procedure=RESET) as recording:
        append_bits(recording, HALF, board_time=1.0, host_time=100.0)
        append_bits(recording, HALF, board_time=1.0 + 4e-6, host_time=100.0 + 1e-4)
    return path


def test_every_term_of_a_reset_sequence_is_what_the_laws_give(reset_store: Path) -> None:
    terms = terms_of(reset_store)
    write, reset = 1.2**2, 1.28**2 / 2
    assert terms == pytest.approx(
        {
            "write from P": write * 1e-9 / R_P,
            "write from AP": 0.0,
            "reset": reset * 0.58e-9 / at_bias(1.28),
            "read": READ**2 * SETTLE * (1.5 / R_P + 0.5 / R_AP),
            "line": 100e-15 * (write + reset + 2 * READ**2),
            "DAC": 1e-12,
            "comparator": 2e-13,
            "hold": 0.0,
            "magnet": 1.0 * 2e-6 / 64,
            "wire": 1e-9,
            "host": 10.0 * 5e-5 / 64,
        }
    )


def test_a_toggle_starts_from_either_state_with_the_trims_of_each_as_changed_on_the_way(
    tmp_path: Path,
) -> None:
    cells = array_cells(8)
    cells["trim"], cells["quarantined"][-1] = 0.1, 1
    action = np.zeros(1, ACTION_DTYPE)
    action[["cell", "state", "voltage"]] = (-1, FROM_BOTH, 0.05)
    with (
        Store(tmp_path / "bits") as store,
        start_recording(
            store, cells, procedure={"mode": "toggle", "settle": SETTLE, "period": 6e-9}, actions=True
        ) as recording,
    ):
        usable = np.tile([1, 1, 1, 1, 1, 1, 1, 0], 2).astype(np.uint8)
        outcomes = np.tile([1, 0, 0, 0, 0, 0, 0, 0], 2).astype(np.uint8)
        append_outcomes(recording, outcomes, usable, actions=action, field=0.0)
    terms = terms_of(tmp_path / "bits", hold_voltage=0.5)
    assert terms["write from P"] == pytest.approx(6 / 7 * 1.35**2 * 1e-9 / R_P)
    assert terms["write from AP"] == pytest.approx(1 / 7 * 1.35**2 * 1e-9 / at_bias(1.35))
    assert terms["reset"] == 0
    assert terms["magnet"] == 0  # the rows say that there was no field
    assert terms["host"] is None  # of one block nobody knows how long it took
    assert terms["wire"] == pytest.approx(8 / 7 * 1e-9)
    assert terms["hold"] == pytest.approx(0.25 * 6e-9 * (6 / 7 / R_P + 1 / 7 / R_AP))


def test_standing_levels_areas_and_ratios(memtj_here, reset_store: Path) -> None:
    found = memtj_here("energy", reset_store, "--json", status=0).json
    standing = {term["name"]: term["standing"] for term in found["terms"]}
    assert standing["write from P"] == standing["read"] == standing["write from AP"] == "computed"
    assert standing["line"] == standing["reset"] == standing["host"] == "assumed"
    levels = found["joules_per_bit"]
    assert levels["junction"] < levels["circuit"] < levels["system"]
    assert levels["system"] == pytest.approx(sum(term["joules"] for term in found["terms"]))
    area = found["area"]
    assert area["junction"] == pytest.approx(math.pi / 4 * 70e-9**2)
    assert area["with_periphery"] == pytest.approx(0.0486e-12 / 0.4)
    for name, each in area.items():
        assert found["bits_per_s_um2"][name] == pytest.approx(1 / 2e-6 / (each * 1e12))
        assert found["joule_um2_per_bit"][name] == pytest.approx(levels["system"] * each * 1e12)
    published = {each["published"]["name"]: each for each in found["published"]}
    assert sum(each["published"]["joules_per_bit"] is not None for each in published.values()) >= 8
    latch = published["Metastable latch, 45 nm"]
    assert latch["ratio"] == pytest.approx(2.9e-12 / levels["circuit"])
    assert latch["scaled"] == pytest.approx(latch["ratio"] * 22 / 45)
    dac = next(term["joules"] for term in found["terms"] if term["name"] == "DAC")
    assert latch["without"]["DAC"] == pytest.approx(2.9e-12 / (levels["circuit"] - dac))
    assert "host" not in latch["without"]
    out = memtj_here("energy", reset_store, status=0).stdout
    assert (
        missing(out, "of a simulated array", "write from P", "all of circuit", "with periphery", "µRNG") == []
    )


def test_assumptions_of_ones_own(memtj_here, reset_store: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[magnet_power]\nvalue = 0.25\nsource = "our meter"\nstanding = "measured"\n'
        '[[published]]\nname = "Ours"\nsource = "here"\nhow = "chip"\nlevel = "circuit"\nverified = true\n'
    )
    found = memtj_here("energy", reset_store, "--assume", own, "--json", status=0).json
    magnet = next(term for term in found["terms"] if term["name"] == "magnet")
    assert (magnet["joules"], magnet["standing"]) == (pytest.approx(0.25 * 2e-6 / 64), "computed")
    assert found["published"][-1]["published"]["name"] == "Ours"
    for wrong, word in (
        ("[magnet_power]\nvalue = -1\nsource = 's'", "magnet_power.value"),
        ("[megnet]\nvalue = 1", "megnet"),
        ("magnet", "own.toml"),
        ("published = 1", "own.toml"),
    ):
        own.write_text(wrong)
        assert word in memtj_here("energy", reset_store, "--assume", own, status=1).sentence


def picture(folder: Path, number: int, bits: dict) -> None:
    told = {"format": "memtj-picture", "bits": bits, "sampling": {"steps": 50}}
    (folder / f"{number}.json").write_text(json.dumps(told))


def test_pictures_by_the_bits_and_the_steps_that_their_provenance_names(
    memtj_here, reset_store, tmp_path
) -> None:
    folder = tmp_path / "out" / "pictures"
    folder.mkdir(parents=True)
    with Store(reset_store, read_only=True) as store:
        uuid = store.buffers()[0].uuid
        each = energy_of_store(store, load_assumptions())
    for number, bits in enumerate((100, 156)):
        leased = {"source": "lease", "ranges": [[uuid, 100 * number, bits]], "bits": bits}
        picture(folder, number, leased)
    found = memtj_here("energy", tmp_path / "out", "--store", reset_store, "--json", status=0).json
    assert (found["pictures"], found["recorded_bits"], found["simulated"]) == (2, 128, True)
    network = 50 * 3.1e-3 * 20
    assert found["terms"][-1]["joules"] == pytest.approx(network)
    assert found["joules_per_picture"]["system"] == pytest.approx(network + 128 * (total(each.terms) or 0))
    assert "--store" in memtj_here("energy", folder, status=1).sentence
    assert "2 pictures of 50 steps" in memtj_here("energy", folder, "--store", reset_store, status=0).stdout
    for number in range(2):
        picture(folder, number, {"source": "software"})
    assert [term["name"] for term in memtj_here("energy", folder, "--json", status=0).json["terms"]] == [
        "network"
    ]


def test_what_is_neither_is_refused(memtj_here, reset_store: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no pictures" in memtj_here("energy", tmp_path / "empty", status=1).sentence
    assert "no folder" in memtj_here("energy", tmp_path / "none", status=1).sentence
    assert "--store" in memtj_here("energy", reset_store, "--store", reset_store, status=1).sentence
    record_blocks(tmp_path / "blank", [], cells=8)
    assert "recorded bits" in memtj_here("energy", tmp_path / "blank", status=1).sentence
