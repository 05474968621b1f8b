"""The weight of one expert that moves the base as far as tuning moved the reference.

Rows are logits (items, vocabulary) in float64; divergences in nats. With P = softmax(base) and
P(a) = softmax(base + a * shift), F(a) = KL(P(a) || P) and R(a) = KL(P || P(a)); the targets are
F* = KL(expert || reference) and R* = KL(reference || expert); J(a) = (F - F*)^2 + (R - R*)^2.
"""

import numpy as np

BOUNDS = (0.0, 2.0)
COARSE = 41
ZOOMS, FINE = 5, 11
LARGE = 80.0  # nats: its exponential is still a float32
BLOCK = 50_000  # numbers that are worked on together


def log_softmax(rows):
    top = rows.max(axis=-1, keepdims=True)
    return rows - top - np.log(np.exp(rows - top).sum(axis=-1, keepdims=True))


def divergence(log_p, log_q):
    """KL(p || q) over the last axis; a token that both exclude counts nothing."""
    p = np.exp(log_p)
    gap = np.where(p > 0, log_p, 0) - np.where(p > 0, log_q, 0)
    return (p * gap).sum(axis=-1)


def restrict(rows, keep):
    return np.where(keep, rows, -np.inf)


def plausible(rows, ratio):
    """Tokens with at least `ratio` of the best token's probability."""
    return rows >= rows.max(axis=-1, keepdims=True) + np.log(ratio)


def shifted(base, shift, alpha):
    return np.where(np.isfinite(base), base + alpha[..., None] * shift, -np.inf)


def curves(base, shift, alphas):
    """A = log sum P exp(alpha * d), and mean and variance of d under P(alpha), at `alphas` (items,
    points), with d the shift centred under P. Then R = A and F = alpha * mean - A."""
    log_p = log_softmax(base)
    centred = shift - (np.exp(log_p) * shift).sum(axis=-1, keepdims=True)
    # A is 0 or more and its terms grow to the ends, so one scale an item keeps all of them in range.
    ends = (log_p + alpha[:, None] * centred for alpha in (alphas.min(axis=1), alphas.max(axis=1)))
    scale = np.maximum(np.max([end.max(axis=-1) for end in ends], axis=0) - LARGE, 0)[:, None]
    terms = np.stack((np.ones_like(centred), centred, centred**2), axis=2).astype(log_p.dtype)
    found, block = np.empty((3, *alphas.shape)), max(1, BLOCK // base.size)
    log_p = (log_p - scale).astype(log_p.dtype)
    for first in range(0, alphas.shape[1], block):
        points = slice(first, first + block)
        moved = alphas[:, points, None].astype(log_p.dtype) * centred[:, None].astype(log_p.dtype)
        moved += log_p[:, None]
        found[:, :, points] = np.moveaxis(np.exp(moved, out=moved) @ terms, 2, 0)
    total, mean, square = found[0], found[1] / found[0], found[2] / found[0]
    return np.log(total) + scale, mean, np.maximum(square - mean**2, 0)


def objectives(base, shift, targets, alphas):
    """J at `alphas` (items, points)."""
    reverse, mean, _ = curves(base, shift, alphas)
    forward = alphas * mean - reverse
    return (forward - targets[0][:, None]) ** 2 + (reverse - targets[1][:, None]) ** 2


def solve(base, reference, expert, zooms=ZOOMS):
    """(weights, objectives): a scan of the bounds, then ever finer scans around its best point."""
    finite = np.isfinite(base)
    shift = np.where(finite, np.where(finite, expert, 0) - np.where(finite, reference, 0), 0)
    log_q, log_t = log_softmax(reference), log_softmax(expert)
    targets = divergence(log_t, log_q), divergence(log_q, log_t)
    low, high = (np.full(len(base), bound) for bound in BOUNDS)
    for points in (COARSE, *[FINE] * zooms):
        alphas = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, points)
        values = objectives(base, shift, targets, alphas)
        best = values.argmin(axis=1)
        picked = np.take_along_axis(alphas, best[:, None], 1)[:, 0]
        step = (high - low) / (points - 1)
        low, high = np.maximum(picked - step, BOUNDS[0]), np.minimum(picked + step, BOUNDS[1])
    least = np.take_along_axis(values, best[:, None], 1)[:, 0]
    # A shift of nothing moves nothing: weight 0, as the engine has it.
    return np.where(targets[0] + targets[1] < 1e-12, 0.0, picked), least
