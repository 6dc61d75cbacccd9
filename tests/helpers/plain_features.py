"""Features of no network: every signal there is, of classes that are told apart easily. No tests.

For what a test of one formula need not have: all detectors can be fitted on them, in a moment.
"""

from functools import cache

import torch
from torch.nn import functional

from methods.base import Detector, Features, GradientDetector, Head
from methods.registry import detectors
from methods.statistics import gram, pooled, rank_one

CLASSES, WIDTH, SIDE = 5, 20, 4
DETECTORS = {name: cls for name, cls in detectors().items() if issubclass(cls, Detector)}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHT, BIAS = drawn(CLASSES, WIDTH), drawn(CLASSES, seed=1)
HEAD = Head(WEIGHT, BIAS)


@cache  # no test changes them
def features(n, seed=0, labelled=True, name=""):
    """Every signal of n images, for the detector of that name."""
    labels = torch.arange(n) % CLASSES
    clean = functional.one_hot(labels, CLASSES).repeat_interleave(WIDTH // CLASSES, dim=1)
    h = torch.relu(2 * clean + 0.5 * drawn(n, WIDTH, seed=seed))
    spread = torch.rand(
        n, WIDTH, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    maps = [spread[:, :8] + 0.1 * labels[:, None, None, None], h[:, :, None, None] * spread]
    logits = h @ WEIGHT.T + BIAS
    return Features(
        logits,
        h,
        labels if labelled else None,
        stages=[pooled(m) for m in maps],
        gram=[gram(m) for m in maps],
        rank_one=rank_one(maps[-1]),
        log_variances=-torch.stack([logits.logsumexp(dim=1), logits.square().mean(dim=1)], dim=1),
        outputs=DETECTORS[name].example_outputs(logits) if name else logits,
        maps=maps,
    )


def made(cls):
    """An unfitted detector that scores features as they are."""
    return cls.configure({cls.step_name: 0.0} if issubclass(cls, GradientDetector) else {})


@cache
def fitted(cls, name=""):
    rng = torch.Generator().manual_seed(0)
    return made(cls).fit(features(200, name=name), features(60, seed=1, name=name), HEAD, rng)


def spoiled(given, signal, value, row=3):
    """The same features with one value of a signal changed, in the last of its stages."""
    parts = [part.clone() for part in given.collected()[signal]]
    parts[-1].view(len(given), -1)[row, 0] = value
    several = signal in ("stages", "gram", "maps")
    return given.including(**{signal: parts if several else parts[0]})
