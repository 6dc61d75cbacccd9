"""Scores that are computed a few rows at a time, and in the type of the features (case L17)."""

import pytest
import torch
from torch.testing import assert_close

from methods.base import Features, Head
from methods.detectors import _blocks
from methods.registry import detector

IN_FLOAT32 = ["react", "vra", "fdbd", "vim", "pnml"]  # what they multiply by
BY_BLOCKS = [
    "msp", "energy", "entropy", "xent_uniform", "gen", "klm", "temperature_scaling", "ash", "scale", "lts",
    "dice", "nci", "she", "residual", "gmm", *IN_FLOAT32,
]  # fmt: skip
WIDTH, CLASSES = 24, 5


@pytest.fixture(scope="module")
def world():
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(CLASSES, WIDTH, generator=rng, dtype=torch.float64)
    head = Head(weight, torch.randn(CLASSES, generator=rng, dtype=torch.float64))

    def features(rows):
        labels = torch.arange(rows) % CLASSES
        noise = torch.randn(rows, WIDTH, generator=rng, dtype=torch.float64)
        h = (weight[labels] + noise).relu().float().double()  # the same numbers in both types
        return Features((h @ weight.T + head.bias).float(), h, labels)

    return features(400), features(300), head


@pytest.mark.parametrize("name", BY_BLOCKS)
def test_l17_scores_do_not_depend_on_the_size_of_the_blocks(name, world, monkeypatch):
    train, test, head = world
    fitted = detector(name).fit(train, train, head)
    whole = fitted.score(test)
    monkeypatch.setattr(_blocks, "AT_ONCE", 7 * WIDTH)
    assert_close(fitted.score(test), whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_l17_products_of_float32_features_are_as_exact_as_the_features(name, world):
    train, test, head = world
    fitted = detector(name).fit(train, train, head)
    exact = fitted.score(test)
    single = fitted.score(Features(test.logits, test.penultimate.float()))
    assert single.dtype == torch.float64
    assert_close(single, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", ["s", "p", "b"])
def test_l17_ash_keeps_the_first_of_equal_activations(variant):
    """On paper: of [3, 1, 2, 2, 2, 0] three are kept, the 3 and the first two of the 2s."""
    h = torch.tensor([[3.0, 1, 2, 2, 2, 0]], dtype=torch.float64)
    head = Head(torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64)))
    features = Features(h @ head.weight.T, h)
    fitted = detector("ash", percentile=50.0, variant=variant).fit(features, features, head)
    s1, s2 = 10.0, 7.0
    factor = torch.tensor(s1 / s2, dtype=torch.float64).exp()
    kept = {"p": [3, 0, 2, 2, 0, 0], "b": [s1 / 3, 0, s1 / 3, s1 / 3, 0, 0]}
    shaped = torch.tensor([kept.get(variant, kept["p"])], dtype=torch.float64)
    shaped = shaped * factor if variant == "s" else shaped
    assert_close(fitted.score(features), torch.logsumexp(shaped @ head.weight.T, dim=1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("gradient", [False, True])
def test_l17_the_largest_of_each_row_are_those_of_topk(gradient):
    rows = torch.randn(50, 17, generator=torch.Generator().manual_seed(0)).requires_grad_(gradient)
    found = _blocks.largest_of_each(rows, 6)
    expected = torch.topk(rows, 6, dim=1).values
    assert_close(found.sort(dim=1, descending=True).values, expected, rtol=0, atol=0)
    assert torch.equal(found[:, 0], expected[:, -1])
