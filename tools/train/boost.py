"""Boosted trees with four quantiles per leaf, for the model pack.

One ensemble forecasts P50, P90, P95 and P99 together: each tree is grown on the pinball
loss's gradients of all four (a multi-output tree), and each leaf adds one correction per
quantile to where the on-line mixture stood. Features are integers and split at integer
thresholds, so the card evaluates exactly what was trained."""
import struct

import numpy as np

LEVELS = np.array([0.5, 0.9, 0.95, 0.99])
RATES = np.array([1.0, 1.0, 1.0, 0.6])
ZERO, LEAF_ZERO = 32768, 2184  # GN_FEATURES_ZERO, GN_PACK_LEAF_ZERO
SPREAD = np.sqrt(LEVELS * (1 - LEVELS))


class Tree:
    """A complete binary tree: the root is node 1, node i has children 2i (feature <= threshold)
    and 2i+1. A node that was not split sends all to the left."""

    def __init__(self, depth):
        self.depth = depth
        self.feature = np.zeros(2**depth, np.uint8)
        self.threshold = np.full(2**depth, 65535, np.uint16)
        self.threshold[0] = 0
        self.leaf = np.zeros((2**depth, 4))

    def leaf_of(self, x):
        node = np.ones(len(x), np.int64)
        rows = np.arange(len(x))
        for _ in range(self.depth):
            node = 2 * node + (x[rows, self.feature[node]] > self.threshold[node])
        return node - 2**self.depth


def thresholds_of(x, n_bins):
    """Per feature the ascending split points between at most n_bins bins."""
    out = []
    for f in range(x.shape[1]):
        out.append(np.unique(np.quantile(x[:, f], np.linspace(0, 1, n_bins + 1)[1:-1], method="lower"))
                   .astype(np.uint16))
    return out


def binned(x, thresholds):
    return np.stack([np.searchsorted(t, x[:, f], "left") for f, t in enumerate(thresholds)],
                    axis=1).astype(np.uint8)


def grow(tree, bins, thresholds, gradient, weight, features, min_weight, n_bins):
    """Level by level, the split of each node with the greatest gain."""
    node = np.zeros(len(bins), np.int64)  # within its level
    width = 1
    for _ in range(tree.depth):
        best = np.full(width, 1e-12)
        choice = np.zeros((width, 2), np.int64) - 1
        for f in features:
            key = node * n_bins + bins[:, f]
            n = np.bincount(key, weight, width * n_bins).reshape(width, n_bins).cumsum(1)
            total = n[:, -1:]
            gain = np.zeros((width, n_bins))
            left, right = np.maximum(n, 1e-9), np.maximum(total - n, 1e-9)
            for q in range(4):
                g = np.bincount(key, gradient[:, q], width * n_bins).reshape(width, n_bins).cumsum(1)
                all_g = g[:, -1:]
                gain += g**2 / left + (all_g - g)**2 / right - all_g**2 / np.maximum(total, 1e-9)
            gain[(n < min_weight) | (total - n < min_weight)] = 0
            gain[:, len(thresholds[f]):] = 0
            at = gain.argmax(1)
            value = gain[np.arange(width), at]
            better = value > best
            best[better] = value[better]
            choice[better, 0], choice[better, 1] = f, at[better]
        for i in range(width):
            if choice[i, 0] >= 0:
                tree.feature[width + i] = choice[i, 0]
                tree.threshold[width + i] = thresholds[choice[i, 0]][choice[i, 1]]
        split = choice[node]
        right = (split[:, 0] >= 0) & (bins[np.arange(len(bins)), split[:, 0]] > split[:, 1])
        node = 2 * node + right
        width *= 2


def leaf_quantiles(leaf, residual, weight, n_leaves, prior):
    """Weighted quantiles of the residuals in each leaf, shrunk where there are few."""
    out = np.zeros((n_leaves, 4))
    for q in range(4):
        order = np.lexsort((residual[:, q], leaf))
        sorted_leaf, w = leaf[order], weight[order]
        cum = np.cumsum(w)
        start = np.searchsorted(sorted_leaf, np.arange(n_leaves), "left")
        end = np.searchsorted(sorted_leaf, np.arange(n_leaves), "right")
        for k in range(n_leaves):
            if end[k] <= start[k]:
                continue
            low = cum[start[k] - 1] if start[k] else 0.0
            total = cum[end[k] - 1] - low
            at = start[k] + np.searchsorted(cum[start[k]:end[k]], low + LEVELS[q] * total)
            at = min(at, end[k] - 1)
            tail = total * min(LEVELS[q], 1 - LEVELS[q])
            out[k, q] = residual[order[at], q] * tail / (tail + prior)
    return out


def start_of(x):
    """Where the trees start: the mixture's own quantiles, in the features' unit."""
    return np.concatenate([np.zeros((len(x), 1)), (x[:, :3] - float(ZERO)) / 256], axis=1)


def fit(x, y, weight, n_trees, depth=6, rate=0.12, n_bins=64, sample=0.4, min_share=2e-3,
        prior=12.0, limit=2.0, seed=1, watch=None):
    """'weight' has mean 1. 'watch(i, tree)' is called after each tree."""
    rng = np.random.default_rng(seed)
    thresholds = thresholds_of(x[rng.permutation(len(x))[:100000]], n_bins)
    bins = binned(x, thresholds)
    forecast, trees = start_of(x), []
    for i in range(n_trees):
        take = np.flatnonzero(rng.random(len(x)) < sample)
        features = rng.permutation(x.shape[1])[:max(1, int(0.5 * x.shape[1]))]
        gradient = (LEVELS - (y[take, None] < forecast[take])) / SPREAD * weight[take, None]
        tree = Tree(depth)
        grow(tree, bins[take], thresholds, gradient, weight[take], features,
             min_share * weight[take].sum(), n_bins)
        leaf = tree.leaf_of(x)
        # tails are learnt more slowly: few samples speak for them
        tree.leaf = np.clip(rate * RATES * leaf_quantiles(leaf, y[:, None] - forecast, weight,
                                                  2**depth, prior), -limit, limit)
        tree.leaf = np.round(tree.leaf * 1024) / 1024
        forecast += tree.leaf[leaf]
        trees.append(tree)
        if watch:
            watch(i, tree)
    return trees


def pinball(y, forecast):
    off = y[:, None] - forecast
    return np.maximum(off * LEVELS, off * (LEVELS - 1))


def write_pack(path, trees, n_features, features_version, serial, name):
    """The layout of firmware/predict/pack.h."""
    depth = trees[0].depth
    out = [struct.pack("<IHHHHHHII40s", 0x504D4E47, 2, features_version, n_features, len(trees),
                       depth, 0, serial, 0, name.encode()[:39])]
    for tree in trees:
        out.append(tree.feature.tobytes() + tree.threshold.astype("<u2").tobytes())
        out.append((np.round(tree.leaf * 1024) + LEAF_ZERO).astype("<u2").tobytes())
    with open(path, "wb") as file:
        file.write(b"".join(out))
