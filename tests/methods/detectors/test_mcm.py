"""MCM against arithmetic on paper and a plain loop over the paper's formula."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, HyperparameterError, InputError, NotApplicable
from methods.detectors.mcm import MCM
from methods.detectors.msp import MSP
from methods.registry import detector

SCALE = 100.0  # of CLIP's logits, about


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def directions(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fitted(weight, bias=None, **hyperparameters):
    head = Head(weight, bias)
    h = tensor(np.eye(head.weight.shape[1]).tolist())
    some = Features(h @ head.weight.double().T + head.bias.double(), h)
    return MCM(**hyperparameters).fit(some, head=head)


def scored(detector, h):
    h = torch.as_tensor(h)
    return detector.score(Features(h.new_zeros(len(h), len(detector.texts)), h))


def by_hand(h, weight, temperature):
    """An image and a class at a time."""
    found = []
    for image in h:
        cosines = [image @ w / (math.sqrt(image @ image) * math.sqrt(w @ w)) for w in weight]
        terms = [math.exp(c / temperature) for c in cosines]
        found.append(max(terms) / sum(terms))
    return found


def test_worked_scores():
    """Texts along the axes; cosines (1, 0), (.6, .8) and (√½, √½): 1/(1 + e^-gap) of gaps 1, .2 and 0."""
    found = scored(fitted([[2.0, 0.0], [0.0, 2.0]]), tensor([[3.0, 0.0], [0.3, 0.4], [5.0, 5.0]]))
    assert_close(found, tensor([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-0.2)), 0.5]), **EXACT)
    assert_close(found, tensor([0.7310585786300049, 0.549833997312478, 0.5]), **EXACT)


def test_worked_score_at_another_temperature():
    """A gap of 0.2 in the cosine at τ = 0.1 is one of 2: 1/(1 + e^-2)."""
    found = scored(fitted([[1.0, 0.0], [0.0, 1.0]], temperature=0.1), tensor([[0.6, 0.8]]))
    assert_close(found, tensor([0.8807970779778823]), **EXACT)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 10.0])
def test_the_papers_formula(temperature):
    h, weight = drawn(30, 7), drawn(5, 7, seed=1)
    found = scored(fitted(weight, temperature=temperature), h)
    assert_close(found, tensor(by_hand(h, weight, temperature)), **EXACT)


def test_the_default_temperature_is_one_on_cosines():
    h, weight = drawn(30, 7), drawn(5, 7, seed=1)
    assert MCM().temperature == 1.0
    cosines = directions(h) @ directions(weight).T
    assert_close(scored(fitted(weight), h), torch.from_numpy(softmax(cosines, axis=1).max(axis=1)), **EXACT)


def test_neither_the_scale_of_the_head_nor_that_of_the_features_matters():
    h, weight = drawn(30, 7), drawn(5, 7, seed=1)
    lengths = np.linspace(0.1, 50, 30)[:, None]
    expected = scored(fitted(weight), h)
    assert_close(scored(fitted(SCALE * weight), lengths * h), expected, **EXACT)


def test_a_bias_is_left_out():
    h, weight = drawn(30, 7), drawn(5, 7, seed=1)
    assert_close(scored(fitted(weight, np.full(5, -16.0)), h), scored(fitted(weight), h), **EXACT)


def test_at_the_temperature_of_the_model_it_is_msp_of_the_logits():
    h, texts = directions(drawn(30, 7)), directions(drawn(5, 7, seed=1))
    logits = SCALE * h @ texts.T
    found = scored(fitted(SCALE * texts, temperature=1 / SCALE), h)
    assert_close(found, MSP().score(Features(logits)), rtol=1e-10, atol=0)
    cold = scored(fitted(SCALE * texts), h)
    assert not torch.equal(cold.argsort(), found.argsort())  # τ is no matter of units alone


def test_scores_lie_between_one_over_the_classes_and_one():
    found = scored(fitted(drawn(5, 7, seed=1)), drawn(200, 7))
    assert ((found > 1 / 5) & (found < 1)).all()


@pytest.mark.parametrize("tiny", [1e-3, 1e-300, 5e-324])
def test_the_coldest_softmax_is_one_over_the_number_of_nearest_texts(tiny):
    found = scored(fitted([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], temperature=tiny), [[1.0, 0.2], [0.2, 1.0]])
    assert_close(found, tensor([0.5, 1.0]), **EXACT)


def test_the_hottest_softmax_is_uniform():
    found = scored(fitted(drawn(4, 7, seed=1), temperature=1e300), drawn(9, 7))
    assert_close(found, torch.full((9,), 0.25, dtype=torch.float64), **EXACT)


def test_an_embedding_of_zeros_is_as_near_to_every_class():
    found = scored(fitted(drawn(4, 7, seed=1)), np.zeros((2, 7)))
    assert_close(found, tensor([0.25, 0.25]), **EXACT)


def test_a_row_of_zeros_in_the_head_is_at_right_angles_to_every_image():
    found = scored(fitted([[1.0, 0.0], [0.0, 0.0]]), tensor([[2.0, 0.0], [-2.0, 0.0]]))
    assert_close(found, tensor([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-1))]), **EXACT)


def test_one_class_scores_one():
    assert scored(fitted([[1.0, 2.0]]), drawn(3, 2)).tolist() == [1.0, 1.0, 1.0]


def test_long_float32_features_do_not_overflow():
    h = torch.tensor([[3e30, 4e30]])
    found = scored(fitted(torch.eye(2)), h)
    assert_close(found, tensor([1 / (1 + math.exp(-0.2))]), rtol=1e-6, atol=0)


def test_float32_features_give_the_score_to_their_rounding():
    h, weight = drawn(50, 64).astype(np.float32), drawn(9, 64, seed=1).astype(np.float32)
    expected = by_hand(h.astype(np.float64), weight.astype(np.float64), 1.0)
    found = scored(fitted(weight), h)
    assert found.dtype == torch.float64
    assert_close(found, tensor(expected), rtol=1e-6, atol=0)


def test_pytorch_ood_has_this_score_in_float32():
    theirs = pytest.importorskip("pytorch_ood", reason="pytorch-ood is not installed").detector.MCM
    h, weight = (drawn(*shape).astype(np.float32) for shape in ((50, 64), (9, 64)))
    outlier = theirs(None, torch.from_numpy(SCALE * weight)).predict_features(torch.from_numpy(h))
    assert_close(scored(fitted(weight), h), -outlier.double(), rtol=1e-6, atol=0)


def test_it_is_fitted_without_images():
    weight, h = drawn(5, 7, seed=1), drawn(4, 7)
    nothing = Features(np.zeros((0, 5)), np.zeros((0, 7)))
    found = scored(MCM().fit(nothing, head=Head(weight)), h)
    assert_close(found, scored(fitted(weight), h), **EXACT)


def test_training_images_do_not_matter():
    weight, h = drawn(5, 7, seed=1), drawn(6, 7, seed=2)
    one, other = (
        MCM().fit(Features(some @ weight.T, some), head=Head(weight)) for some in (drawn(3, 7), drawn(9, 7))
    )
    assert torch.equal(scored(one, h), scored(other, h))


def test_it_needs_the_final_layer():
    h = drawn(4, 7)
    with pytest.raises(InputError, match="head: mcm needs the final layer"):
        MCM().fit(Features(np.zeros((4, 5)), h))
    with pytest.raises(NotApplicable, match="two layers"):
        MCM().fit(Features(np.zeros((4, 5)), h), head=Head.not_linear("two layers"))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_the_temperature_is_finite_and_above_zero(value):
    with pytest.raises(HyperparameterError, match=f"temperature: expected .* above 0, got {value}"):
        detector("mcm", temperature=value)


def test_the_capitals_of_the_paper_find_it():
    assert detector("MCM").name == "mcm"
