"""Device files: what is wrong in one is one clear sentence that names file and key."""

from pathlib import Path

import pytest

from mock_hw.physics import DeviceError, load_device
from mock_hw.physics._parameters import SHIPPED

TEXT = (SHIPPED / "C.toml").read_text("utf-8")


def write(tmp_path: Path, old: str, new: str) -> Path:
    assert TEXT.count(old) == 1, old
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace(old, new), "utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("thickness = 1.1e-9 ", "thickness = -1.1e-9 ",
         "free_layer.thickness: -1.1e-09 is wrong, it must be at least 2e-10"),
        ("damping = 0.03", "dampign = 0.03", "free_layer.dampign: there is no such key"),
        ("damping = 0.03", 'damping = "0.03"', "free_layer.damping: .*valid number"),
        ("vcma = 60e-15 ", "vcma = 0.0 ", "free_layer: a voltage does nothing: give vcma or spin_torque"),
        ("[pulse]", "[pulses]", "pulses: there is no such key"),
        ("0.0252, 0.9496]", "0.0252, 0.5]", "demagnetising factors must add up to 1"),
        ("in_plane = 30e-3 ", "in_plane = 100e-3 ", "not below the anisotropy field .* one state only"),
        ("voltage = [0.02, 2.36, 0.03]", "voltage = [2.36, 0.02, 0.03]", "table: voltage .* at least five points"),
        ("voltage = [0.02, 2.36, 0.03]", "voltage = [1.5, 2.36, 0.03]", "from below the critical voltage, 1.26 V"),
        ("width = [50e-12, ", "width = [10e-12, ", r"begins below \(rise \+ fall\) / 2 = 5e-11 s"),
        ("thermal_stability = 0.05", "thermal_stability = 0.5",
         "spread.thermal_stability: 0.5 is wrong, it must be at most 0.06"),
        ("temperature = [255.0, 380.0]", "temperature = [400.0, 300.0]", "temperature .* must rise"),
        ("[field]", "[field", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path, old, new)
    with pytest.raises(DeviceError, match=said) as caught:
        load_device(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value) or "TOML" in str(caught.value)


def test_names_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="there is no device 'E': name one of A, B, C, D or a TOML file"):
        load_device("E")
    with pytest.raises(DeviceError, match=r"cannot read the device file .*none\.toml"):
        load_device(tmp_path / "none.toml")


def test_set_c_is_the_device_of_the_reference() -> None:
    """The derived numbers of set C, as its description states them."""
    c = load_device("C")
    assert c.anisotropy_field == pytest.approx(88.9e-3, rel=1e-3)
    assert c.critical_voltage == pytest.approx(1.256, rel=1e-3)
    assert c.effective_stability == pytest.approx(22, abs=0.1)
    assert c.resistance_parallel == pytest.approx(78e3, rel=1e-2)
    assert c.limits() == (2.0, 2e-9)
    rows = dict(c.describe())
    assert rows["half period π/(γ B_x)"] == "0.5947 ns"


@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
def test_every_set_says_where_its_numbers_come_from(name: str) -> None:
    device = load_device(name)
    assert "our own choice" in device.source
    assert device.name.startswith(name)
    point = device.working_point
    assert point is not None
    assert abs(point.voltage) <= device.limits()[0]
    assert point.width <= min(device.limits()[1], point.period)
