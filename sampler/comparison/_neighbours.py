"""Nearest neighbours of features: precision and recall, density and coverage, and the check against memorising."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from entropy.arguments import Count, takes

# Rows at a time: 1,000 × 10,000 distances are 40 MB.
_ROWS = 1000

NEIGHBOURS = 3


@dataclass(frozen=True)
class Manifold:
    """Points (m, d) float32 with the squared distance of each to its k-th nearest other: (m,) float32."""

    points: npt.NDArray[np.float32]
    radii: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """Fidelity and variety of pictures against the reference.

    `precise` (n,) bool: which pictures lie on the reference's manifold; `precision` is their share, `recall` the
    share of reference pictures on the manifold of the pictures (Kynkäänniemi et al., arXiv 1904.06991). `density` and
    `coverage` as Naeem et al., arXiv 2002.09797: how many reference balls hold a picture, over k; and the share of
    reference balls that hold one at all.
    """

    precise: npt.NDArray[np.bool_]
    precision: float
    recall: float
    density: float
    coverage: float


def squared_distances(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], y_squared: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Squared Euclidean distances of (n, d) and (m, d): (n, m) float32, at least 0."""
    if y_squared is None:
        y_squared = np.einsum("ij,ij->i", y, y)
    distances = x @ y.T
    distances *= -2
    distances += np.einsum("ij,ij->i", x, x)[:, None]
    distances += y_squared
    return np.maximum(distances, 0, out=distances)


@takes(k=Count(1))
def manifold(points: npt.NDArray[np.float32], k: int = NEIGHBOURS) -> Manifold:
    """The balls around points (m, d) that reach to each one's k-th nearest other point."""
    radii = np.empty(len(points), np.float32)
    squares = np.einsum("ij,ij->i", points, points)
    for first in range(0, len(points), _ROWS):
        rows = squared_distances(points[first : first + _ROWS], points, squares)
        at = np.arange(len(rows))
        rows[at, first + at] = -1  # itself, which rounding could put elsewhere than first
        radii[first : first + _ROWS] = np.partition(rows, k, axis=1)[:, k]
    return Manifold(points, radii)


@takes(k=Count(1))
def quality(pictures: npt.NDArray[np.float32], reference: Manifold, k: int = NEIGHBOURS) -> Quality:
    """Precision, recall, density and coverage of pictures' features (n, d) against the reference manifold.

    The reference's `radii` must be of the same k. Both numbers depend on the numbers of pictures: compare arms of the
    same n only.
    """
    drawn = manifold(pictures, k)
    inside = np.zeros(len(pictures), np.int64)
    covered = np.zeros(len(reference.points), bool)
    recalled = np.zeros(len(reference.points), bool)
    squares = np.einsum("ij,ij->i", reference.points, reference.points)
    for first in range(0, len(pictures), _ROWS):
        part = slice(first, first + _ROWS)
        distances = squared_distances(pictures[part], reference.points, squares)
        held = distances <= reference.radii
        inside[part] = held.sum(axis=1)
        covered |= held.any(axis=0)
        recalled |= (distances <= drawn.radii[part, None]).any(axis=0)
    precise = inside > 0
    return Quality(
        precise,
        float(precise.mean()),
        float(recalled.mean()),
        float(inside.mean() / k),
        float(covered.mean()),
    )


def nearest(
    points: npt.NDArray[np.float32],
    training: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float32]:
    """Distance of each point (n, d) to its nearest training point (m, d): (n,) float32.

    Args:
        points, training: of one space.
        own: (n,) where each point itself stands in `training` and must not be found (leave-one-out), or None.
    """
    found = np.empty(len(points), np.float32)
    squares = np.einsum("ij,ij->i", training, training)
    for first in range(0, len(points), _ROWS):
        part = slice(first, first + _ROWS)
        rows = squared_distances(points[part], training, squares)
        if own is not None:
            rows[np.arange(len(rows)), own[part]] = np.inf
        found[part] = rows.min(axis=1)
    return np.sqrt(found)
