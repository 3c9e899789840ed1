"""The shipped classifier, feature extractors, and the parts of the digits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sampler import SamplerError, load_digits
from sampler.comparison import Features, digit_features, digit_parts, real_digits, torchscript_features
from sampler.comparison._classifier import classifier_folder, load_classifier
from sampler.comparison.train_classifier import train_classifier


def test_the_parts_of_the_digits_do_not_overlap_where_they_must_not() -> None:
    digits = load_digits()
    parts = digit_parts(digits)
    training, test = set(parts.classifier_training.tolist()), set(parts.classifier_test.tolist())
    assert (len(training), len(test), len(training & test)) == (8000, 2000, 0)
    reference, real = set(parts.reference.tolist()), set(parts.real.tolist())
    assert (len(reference), len(real), len(reference & real)) == (5000, 2000, 0)
    assert np.bincount(digits.labels[parts.reference]).tolist() == [500] * 10
    assert np.bincount(real_digits()[1]).tolist() == [200] * 10
    # A fifth of each was unseen by the classifier, within 5 σ of a random choice.
    assert abs(len(reference & test) - 1000) < 5 * np.sqrt(5000 * 0.16)
    assert abs(len(real & test) - 400) < 5 * np.sqrt(2000 * 0.16)


def test_the_shipped_classifier_recognises_digits_it_never_saw() -> None:
    digits = load_digits()
    test = digit_parts(digits).classifier_test
    found = digit_features()(digits.images[test])
    assert found.probabilities is not None
    accuracy = float((found.probabilities.argmax(1) == digits.labels[test]).mean())
    card = json.loads((classifier_folder() / "card.json").read_text(encoding="utf-8"))
    assert accuracy >= 0.988
    assert accuracy == pytest.approx(card["accuracy"]["test"], abs=0.001)
    assert card["data"]["sha256"] == digits.sha256
    assert sum(f.stat().st_size for f in classifier_folder().iterdir()) < 300_000
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    assert found.values.shape == (2000, 64)
    assert found.values.dtype == np.float32
    assert 0.8 < found.values.std(axis=0).mean() < 1.2


def test_features_do_not_depend_on_how_many_pictures_come_at_once() -> None:
    images = real_digits()[0][:300]
    extract = digit_features()
    together, alone = extract(images).values, extract(images[260:]).values
    np.testing.assert_allclose(together[260:], alone, atol=1e-4)


def test_the_space_is_named_and_its_distance_is_not_called_fid() -> None:
    extract = digit_features()
    assert extract.name == "digit features"
    assert extract.distance == "Fréchet distance, digit features"
    assert extract(real_digits()[0][:2]).sha256 == extract.sha256 == load_classifier().sha256


def test_wrong_pictures_are_one_sentence() -> None:
    extract = digit_features()
    for images, words in (
        (np.zeros((2, 32, 32), np.uint8), "28 × 28 pixels, not of 32 × 32"),
        (np.zeros((2, 28, 28, 3), np.uint8), "28 × 28 pixels"),
        (np.zeros((2, 28, 28), np.float32), "uint8 pictures"),
        (np.zeros((28, 28), np.uint8), "shape"),
        (np.zeros((0, 28, 28), np.uint8), "n at least 1"),
    ):
        with pytest.raises(SamplerError, match=words) as raised:
            extract(images)
        assert "\n" not in str(raised.value)


def test_damaged_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "classifier"
    shutil.copytree(classifier_folder(), folder)
    assert load_classifier(folder).card["name"] == "digit classifier"
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-50] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    for pin in ("", None):
        with pytest.raises(SamplerError, match="SHA-256 differs"):
            load_classifier(folder, pin or load_classifier().sha256)
    (folder / "model.safetensors").write_bytes(b"\x80pickle")
    with pytest.raises(SamplerError, match="SHA-256 differs"):
        load_classifier(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(SamplerError, match="cannot be read"):
        load_classifier(folder)


@pytest.mark.slow
def test_a_classifier_can_be_trained_again(tmp_path: Path) -> None:
    """One epoch: well above chance on digits it never saw, and it loads as what its card describes."""
    state = torch.get_rng_state()
    card = train_classifier(tmp_path / "new", seed=3, epochs=1, told=lambda line: None)
    assert torch.equal(torch.get_rng_state(), state)
    assert card["accuracy"]["test"] > 0.8
    assert load_classifier(tmp_path / "new", None).sha256 == card["sha256"]
    with pytest.raises(SamplerError, match="not the digit classifier that this memtj measures with"):
        load_classifier(tmp_path / "new")


class Means(torch.nn.Module):
    """A stand-in for Inception, with its protocol: (n, 3, h, w) uint8 to (n, 6)."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        assert pictures.dtype == torch.uint8
        exact = pictures.double()
        return torch.cat([exact.mean(dim=(2, 3)), exact.std(dim=(2, 3))], dim=1)


class Scalar(torch.nn.Module):
    """Not an extractor: one number for all pictures."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.double().mean()


def scripted(module: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_module_is_an_extractor_whose_distance_is_the_fid(tmp_path: Path) -> None:
    extract = torchscript_features(scripted(Means(), tmp_path / "means.pt"))
    assert extract.name == "Inception features"
    assert extract.distance == "FID"
    coloured = np.random.default_rng().integers(0, 256, (300, 32, 20, 3)).astype(np.uint8)
    found = extract(coloured)
    assert isinstance(found, Features)
    assert found.probabilities is None
    np.testing.assert_allclose(found.values[:, :3], coloured.mean(axis=(1, 2)), rtol=1e-5)
    grey = extract(coloured[..., 0])
    np.testing.assert_allclose(grey.values[:, 0], grey.values[:, 2])
    scalar = torchscript_features(scripted(Scalar(), tmp_path / "scalar.pt"))
    with pytest.raises(SamplerError, match=r"\(n, 3, h, w\) uint8 to \(n, d\)"):
        scalar(coloured)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_no_torchscript_module_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SamplerError, match="there is no TorchScript"):
        torchscript_features(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(SamplerError, match="is not a TorchScript module"):
        torchscript_features(tmp_path / "text.pt")
