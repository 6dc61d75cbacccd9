"""Fits work on blocks of rows, so that memory does not grow with the training set (case S6)."""

import pytest
import torch
from plain_features import DETECTORS, HEAD, WIDTH, features, made
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from methods.base import Detector, Features, Signal
from methods.detectors import _blocks, _gaussian, _quantiles, _rows, gram, mahalanobis_ensemble, rankfeat
from methods.registry import detector

FITTED = {
    name: made(cls)
    for name, cls in DETECTORS.items()
    if cls.fit is not Detector.fit and Signal.MAPS not in cls.needs  # maps are never as many: NCD's fit_limit
}
OPTIONS = [
    ("gmm", {"components": 3}), ("gmm", {"components": 3, "covariance": "full"}),
    ("gmm", {"covariance": "full"}), ("ssd_score", {"clusters": 2}), ("klm", {"mode": "pred"}),
    ("vra", {"rule": "clip"}), ("knn", {"k": 40}), ("nnguide", {"fraction": 0.5}),
    ("react", {"percentile": 37.0}),
]  # fmt: skip
EVERY = FITTED | {f"{name} {set_to}": detector(name, **set_to) for name, set_to in OPTIONS}
HALF = detector("nnguide", fraction=0.5)  # of the images, which it holds
every_fit = pytest.mark.parametrize("unfitted", EVERY.values(), ids=EVERY)


def fit(unfitted, n):
    """Fitted on n images in float32, at most 40 of them where it has a limit of its own."""
    rng, name = torch.Generator().manual_seed(0), unfitted.name
    limit = 40 if unfitted.fit_limit else None
    return unfitted.fit(
        single(features(n, name=name)), features(60, 1, name=name), HEAD, rng, fit_limit=limit
    )


def single(given):
    parts = given.collected().items()
    return given._with(
        {n: tuple(p.float() if p.is_floating_point() else p for p in part) for n, part in parts}
    )


@pytest.fixture
def tiny_blocks(monkeypatch):
    """Fifty rows at a time, or as few numbers."""
    for module, name, size in [
        (_rows, "AT_ONCE", 50 * WIDTH),
        (_blocks, "AT_ONCE", 50 * WIDTH),
        (_quantiles, "SORTED", 50 * WIDTH),
        (_quantiles, "COUNTED", 50 * WIDTH),
        (_gaussian, "ROWS", 50),
        (gram, "RANGED", 50),
        (mahalanobis_ensemble, "ROWS", 50),
        (rankfeat, "ROWS", 50),
    ]:
        monkeypatch.setattr(module, name, size)


@every_fit
def test_s6_scores_do_not_depend_on_the_blocks_of_the_fit(unfitted, request):
    images = features(30, seed=2, labelled=False, name=unfitted.name)
    whole = fit(unfitted, 200).score(images)
    request.getfixturevalue("tiny_blocks")
    # Sums in another order: some 1e-16 of them, times the condition of a covariance.
    assert_close(fit(unfitted, 200).score(images), whole, rtol=1e-9, atol=1e-9)


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made, views of what is there already left out."""

    def __init__(self, *given: Features) -> None:
        super().__init__()
        parts = [part for one in given for several in one.collected().values() for part in several]
        self.given = {part.untyped_storage().data_ptr() for part in parts}
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.given:
                self.numbers = max(self.numbers, tensor.numel() if tensor.is_floating_point() else 0)
        return result


@pytest.mark.parametrize("unfitted", [e for e in EVERY.values() if e != HALF], ids=str)
def test_s6_no_fit_holds_all_rows(unfitted, tiny_blocks):
    given = single(features(1500, name=unfitted.name)).without("maps")
    val, limit = features(60, 1, name=unfitted.name), 40 if unfitted.fit_limit else None
    with Largest(given, val) as largest:
        unfitted.fit(given, val, HEAD, torch.Generator().manual_seed(0), fit_limit=limit)
    assert largest.numbers < given.logits.numel()  # less than five numbers an image, in float32 or float64


def test_s6_rows_are_float64_blocks_with_what_stands_beside_them(monkeypatch):
    tensor, labels = torch.arange(30.0).reshape(10, 3), torch.arange(10)
    rows = _rows.Rows(tensor, lambda h, y: h + y[:, None], labels)
    expected = tensor.double() + labels[:, None]
    for at_once in (2**26, 9, 1):  # one block, of three rows, of one
        monkeypatch.setattr(_rows, "AT_ONCE", at_once)
        blocks = list(rows.blocks(labels))
        assert all(block.dtype == torch.float64 for block, _ in blocks)
        assert torch.equal(torch.cat([block for block, _ in blocks]), expected)
        assert torch.equal(torch.cat([own for _, own in blocks]), labels)
        assert_close(rows.mean(), expected.mean(dim=0))
        assert_close(rows.deviation(rows.mean()), expected.std(dim=0, correction=0))
        assert_close(rows.total(_rows.scatter), expected.T @ expected)
        assert torch.equal(rows.held()[[4, 2]], expected[[4, 2]])
