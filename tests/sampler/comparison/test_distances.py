"""Distances against exactly known values and against other people's code."""

import numpy as np
import pytest
import torch
from scipy import linalg

from sampler import SamplerError
from sampler.comparison import FrechetDistance, Moments, kernel_distance, manifold, moments, quality
from sampler.comparison._bootstrap import resampled_counts
from sampler.comparison._kernel import cubic_kernel, own_mean
from sampler.comparison._neighbours import nearest


def cloud(n: int, d: int, mix: float = 1.0) -> np.ndarray:
    random = np.random.default_rng()
    return (random.normal(size=(n, d)) @ (np.eye(d) + mix * random.normal(size=(d, d)))).astype(np.float32)


def test_frechet_distance_of_commuting_gaussians_is_exact() -> None:
    """N(0, diag(a²)) to N(m, diag(b²)) is |m|² + Σ(a − b)², here at d = 5."""
    a, b, m = np.arange(1.0, 6), np.array([2.0, 0.5, 3, 5, 5]), np.full(5, 0.5)
    turn = np.linalg.qr(np.random.default_rng().normal(size=(5, 5)))[0]
    reference = Moments(np.zeros(5), turn @ np.diag(a**2) @ turn.T, 100)
    found = Moments(turn @ m, turn @ np.diag(b**2) @ turn.T, 100)
    exact = float(m @ m + ((a - b) ** 2).sum())
    assert FrechetDistance(reference)(found) == pytest.approx(exact, rel=1e-11)
    assert FrechetDistance(reference)(reference) == pytest.approx(0, abs=1e-11)


@pytest.mark.parametrize(("n", "d"), [(400, 16), (40, 64)])
def test_frechet_distance_agrees_with_scipy_and_torchmetrics(n: int, d: int) -> None:
    """Also where there are fewer pictures than features, so that the covariances have no full rank."""
    from torchmetrics.image.fid import _compute_fid

    x, y = moments(cloud(n, d)), moments(cloud(n, d) + np.float32(0.3))
    ours = FrechetDistance(y)(x)
    root = linalg.sqrtm(x.covariance @ y.covariance)
    shift = x.mean - y.mean
    by_root = shift @ shift + np.trace(x.covariance + y.covariance) - 2 * np.trace(np.real(root))
    theirs = _compute_fid(*(torch.from_numpy(v) for v in (x.mean, x.covariance, y.mean, y.covariance)))
    tolerance = 1e-9 if n > d else 1e-4  # a root of a singular matrix is good to half the digits
    assert ours == pytest.approx(by_root, rel=tolerance)
    assert ours == pytest.approx(float(theirs), rel=tolerance)


@pytest.mark.parametrize(("n", "d"), [(60, 7), (20, 30)])
def test_replicates_have_the_distances_of_their_pictures(n: int, d: int) -> None:
    values = cloud(n, d) + np.float32(100)
    distance = FrechetDistance(moments(cloud(200, d)))
    counts = resampled_counts(np.zeros(n, int), 3, key=1)
    plain = [distance(moments(np.repeat(values, count, axis=0))) for count in counts]
    np.testing.assert_allclose(distance.of_replicates(values, counts), plain, rtol=1e-6)


def test_one_picture_has_no_covariance() -> None:
    with pytest.raises(SamplerError, match="at least two"):
        moments(np.zeros((1, 3)))


@pytest.mark.parametrize("label_count", [1, 3])
def test_kernel_distance_is_the_double_sum_and_its_error_the_jackknife(label_count: int) -> None:
    x, y = cloud(30, 4), cloud(25, 4) + np.float32(0.2)
    labels = np.arange(30) % label_count
    shares = np.bincount(labels) / 30

    def plain(x: np.ndarray, labels: np.ndarray) -> float:
        total = own_mean(y)
        for a in range(label_count):
            total -= 2 * shares[a] * cubic_kernel(x[labels == a], y).mean()
            for b in range(label_count):
                part = cubic_kernel(x[labels == a], x[labels == b])
                pairs = part.size
                if a == b:
                    part, pairs = part - np.diag(np.diag(part)), pairs - len(part)
                total += shares[a] * shares[b] * part.sum() / pairs
        return total

    found = kernel_distance(x, y, labels=labels)
    assert found.value == pytest.approx(plain(x, labels), rel=1e-9)
    without = np.array([plain(np.delete(x, i, axis=0), np.delete(labels, i)) for i in range(30)])
    sizes = 30 // label_count
    variance = sum((sizes - 1) * without[labels == a].var() for a in range(label_count))
    assert found.error == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_chosen_labels_leave_the_kernel_distance_unbiased() -> None:
    """Ten labels far apart, 10 pictures of each: mean 0 over 100 trials within 5 σ; the usual estimate is not."""
    random = np.random.default_rng()
    centres = 3 * np.eye(10)
    labels, reference_labels = np.arange(100) % 10, np.arange(400) % 10

    def draw(labels: np.ndarray) -> np.ndarray:
        return (centres[labels] + random.normal(size=(len(labels), 10))).astype(np.float32)

    chosen, usual = [], []
    for _ in range(100):
        reference, pictures = draw(reference_labels), draw(labels)
        own = own_mean(reference, reference_labels)
        chosen.append(kernel_distance(pictures, reference, own, labels).value)
        usual.append(kernel_distance(pictures, reference, own).value)
    assert abs(np.mean(chosen)) < 5 * np.std(chosen) / np.sqrt(100)
    assert np.mean(usual) < -10 * np.std(usual) / np.sqrt(100)


def test_kernel_distance_agrees_with_torchmetrics_over_all_pairs() -> None:
    from torchmetrics.image.kid import poly_mmd

    x, y = cloud(50, 8), cloud(50, 8)
    theirs = poly_mmd(torch.from_numpy(x).double(), torch.from_numpy(y).double())
    assert kernel_distance(x, y).value == pytest.approx(float(theirs), rel=1e-6)


def test_kernel_distance_is_unbiased_with_an_honest_error() -> None:
    """Equal laws, 200 pairs: mean 0 and variance as said; false alarm below 1e-6 (5 σ, and 0.6 to 1.7 in spread)."""
    random = np.random.default_rng()
    reference = random.normal(size=(2000, 6)).astype(np.float32)
    own = own_mean(reference)
    found = [
        kernel_distance(random.normal(size=(100, 6)).astype(np.float32), reference, own) for _ in range(200)
    ]
    values = np.array([each.value for each in found])
    said = np.sqrt(np.mean([each.error**2 for each in found]))
    assert abs(values.mean()) < 5 * values.std() / np.sqrt(200) + 0.002
    assert 0.6 < said / values.std() < 1.7


def test_precision_and_recall_on_a_line() -> None:
    """Reference 0 … 9 has balls of radius 1, and of 2 at its ends (k = 2); pictures on it and far away."""
    reference = np.arange(10, dtype=np.float32)[:, None]
    balls = manifold(reference, k=2)
    np.testing.assert_array_equal(balls.radii, [4, 1, 1, 1, 1, 1, 1, 1, 1, 4])
    pictures = np.array([0, 1, 2, 3, 50, 51], np.float32)[:, None]
    found = quality(pictures, balls, k=2)
    np.testing.assert_array_equal(found.precise, [1, 1, 1, 1, 0, 0])
    assert found.precision == pytest.approx(4 / 6)
    # The pictures' balls: 0 ± 2, 1 ± 1, 2 ± 1, 3 ± 2, and 50 ± 47, which reaches down to 3.
    assert found.recall == 1
    # By hand: 0 lies in 2 balls of the reference, 1 in 3, 2 in 4, 3 in 3.
    assert found.density == pytest.approx((2 + 3 + 4 + 3) / 6 / 2)
    assert found.coverage == pytest.approx(5 / 10)


def test_precision_falls_with_noise_and_recall_with_missing_variety() -> None:
    random = np.random.default_rng()
    balls = manifold(random.normal(size=(1000, 5)).astype(np.float32))
    same = quality(random.normal(size=(500, 5)).astype(np.float32), balls)
    noisy = quality(3 * random.normal(size=(500, 5)).astype(np.float32), balls)
    narrow = quality(0.3 * random.normal(size=(500, 5)).astype(np.float32), balls)
    assert noisy.precision < 0.5 < 0.8 < same.precision <= narrow.precision
    assert narrow.recall < 0.5 < 0.8 < same.recall


def test_nearest_leaves_itself_out() -> None:
    points = cloud(1500, 3)
    assert nearest(points, points).max() < 1e-2
    own = np.arange(1500)
    plain = np.sqrt(((points[:20, None].astype(np.float64) - points) ** 2).sum(axis=2))
    plain[own[:20], own[:20]] = np.inf
    np.testing.assert_allclose(nearest(points, points, own)[:20], plain.min(axis=1), rtol=1e-3, atol=1e-3)
