"""One run of pictures, all its numbers; and two arms beside each other."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sampler import SamplerError
from sampler.comparison import (
    Comparison,
    Evaluation,
    Features,
    Reference,
    Run,
    bootstrap_key,
    compare_runs,
    digit_features,
    evaluate,
    make_reference,
    real_digits,
)

EXTRACT = digit_features()


@pytest.fixture(scope="module")
def reference() -> Reference:
    """1,000 real digits, the even ones of the real arm, which are also what a network would have learnt from."""
    images, labels = real_digits()
    even = slice(0, None, 2)
    return make_reference("1,000 real digits", images[even], EXTRACT, labels[even], images[even])


def measured(images: np.ndarray, labels: np.ndarray, reference: Reference, key: int = 1) -> Run:
    features = EXTRACT(images)
    return Run(features, labels, evaluate(features, labels, reference, key, images=images, replicates=100))


@pytest.fixture(scope="module")
def real(reference: Reference) -> Run:
    images, labels = real_digits()
    return measured(images[1::2], labels[1::2], reference)


@pytest.fixture(scope="module")
def noisy(reference: Reference) -> Run:
    images, labels = real_digits()
    noise = np.random.default_rng().integers(-60, 60, images.shape)
    dirty = np.clip(images + noise, 0, 255).astype(np.uint8)
    return measured(dirty[1::2], labels[1::2], reference)


def test_real_digits_are_good_digits(real: Run) -> None:
    found = real.evaluation
    assert found.n == found.reference_n == 1000
    assert found.distance == "Fréchet distance, digit features"
    assert found.frechet_interval.low < found.frechet_interval.value < found.frechet < 0.5
    assert len(found.frechet_replicates) == 100
    assert abs(found.kernel) < 6 * found.kernel_error
    assert found.precision.value > 0.7
    assert found.recall > 0.7
    assert found.accuracy is not None
    assert found.accuracy.value > 0.98
    assert found.label_entropy == pytest.approx(np.log2(10), abs=0.01)
    assert found.memorising is not None
    assert found.memorising.copies == 0
    assert found.memorising.pixel_ratio == pytest.approx(1, abs=0.15)
    assert found.memorising.pixel_close < 0.05


def test_noisy_digits_are_worse_in_every_way(real: Run, noisy: Run) -> None:
    good, bad = real.evaluation, noisy.evaluation
    assert bad.frechet_interval.low > 10 * good.frechet
    assert bad.kernel > 20 * bad.kernel_error
    assert bad.precision.high < good.precision.low
    assert bad.recall < good.recall


def test_memorised_pictures_are_found(reference: Reference) -> None:
    images, labels = real_digits()
    even = slice(0, None, 2)
    found = measured(images[even], labels[even], reference).evaluation.memorising
    assert found is not None
    assert found.copies == 1000
    assert found.pixel_ratio < 1e-3
    assert found.feature_close == found.pixel_close == 1


def test_an_evaluation_repeats_from_its_key_and_reads_back(real: Run, reference: Reference) -> None:
    again = evaluate(real.features, real.labels, reference, 1, replicates=100)
    assert again.memorising is None
    assert replace(again, memorising=real.evaluation.memorising) == real.evaluation
    other = evaluate(real.features, real.labels, reference, bootstrap_key("other"), replicates=100)
    assert other.frechet_replicates != again.frechet_replicates
    written = json.loads(json.dumps(real.evaluation.to_json()))
    assert Evaluation.from_json(written) == real.evaluation
    for wrong in ({**written, "format_version": 9}, {**written, "key": None}, {"format_version": 1}):
        with pytest.raises(SamplerError, match="evaluat"):
            Evaluation.from_json(wrong)


def test_a_space_without_a_classifier_has_no_labels(real: Run, reference: Reference) -> None:
    blind = replace(real.features, probabilities=None)
    found = evaluate(blind, real.labels, reference, 1, replicates=50)
    assert (found.accuracy, found.label_entropy, found.confidence_entropy) == (None, None, None)
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_two_arms_beside_each_other(real: Run, noisy: Run) -> None:
    """The real arm against itself is equivalent; noise is found at the least p-value of the permutations."""
    same = compare_runs([real], [real], 1.0, 7, permutations=999)
    assert same.verdict == "equivalent"
    assert same.difference.p_value > 0.5
    bad = compare_runs([real], [noisy], 1.0, 7, permutations=1999)
    assert bad.verdict == "different"
    assert bad.difference.p_value == 1 / 2000
    assert bad.equivalence.low > 1
    assert bad == compare_runs([real], [noisy], 1.0, 7, permutations=1999)
    assert Comparison.from_json(json.loads(json.dumps(bad.to_json()))) == bad
    narrow = compare_runs([real, real], [real], 1e-3, 7, permutations=999)
    assert narrow.verdict == "undecided"
    assert narrow.equivalence.runs == (2, 1)


def test_pictures_that_collapsed_to_one_are_measured_too(real: Run, reference: Reference) -> None:
    blank = measured(np.zeros((1000, 28, 28), np.uint8), real.labels, reference)
    found = blank.evaluation
    json.dumps(found.to_json(), allow_nan=False)
    assert found.frechet > 5
    assert found.recall == 0
    assert found.label_entropy == 0
    against = compare_runs([real], [blank], 1.0, 7, permutations=1999)
    assert against.verdict == "different"
    json.dumps(against.to_json(), allow_nan=False)


def test_wrong_input_is_one_sentence(real: Run, reference: Reference) -> None:
    features, labels = real.features, real.labels

    def part(n: int) -> Features:
        assert features.probabilities is not None
        return replace(features, values=features.values[:n], probabilities=features.probabilities[:n])

    infinite = features.values.copy()
    infinite[3, 3] = np.inf
    cases = (
        (replace(features, sha256="0"), labels, {}, "use one extractor"),
        (part(20), labels[:20], {}, "at least 50 pictures"),
        (features, labels[:-1], {}, "one label each"),
        (features, labels, {"images": np.zeros((3, 28, 28), np.uint8)}, "not of these 3"),
        (replace(features, values=infinite), labels, {}, "not finite"),
        (features, labels, {"replicates": 3}, "at least 50 bootstrap"),
        (features, np.arange(1000), {}, "at least"),
    )
    for given, wanted, options, words in cases:
        with pytest.raises(SamplerError, match=words) as raised:
            evaluate(given, wanted, reference, 1, **options)
        assert "\n" not in str(raised.value)
    with pytest.raises(SamplerError, match="at least 10 real"):
        make_reference("few", real_digits()[0][:5], EXTRACT)
    with pytest.raises(SamplerError, match="at least one run"):
        compare_runs([], [real], 1.0, 1)
