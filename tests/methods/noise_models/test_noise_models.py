"""What holds for every model of label noise, and the worked matrices of the specification."""

import math

import pytest
import scipy.stats
import torch
from label_noise_examples import INPUTS, VALUES, Contributed, K, labels_of, rng
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from benchmark.conformance.pretended import pretended
from methods.registry import family, noise_model

NOISE_MODELS = {name: cls.configure(cls.small) for name, cls in family("noise_models").items()}


every_noise_model = pytest.mark.parametrize("model", NOISE_MODELS.values(), ids=NOISE_MODELS)


STRENGTHS = tuple(p / 10 for p in range(11))


def test_every_noise_model_is_found():
    assert NOISE_MODELS.keys() >= {"uniform", "uniform_patrini", "flip", "flip_next", "hierarchical"}


@every_noise_model
@pytest.mark.parametrize("strength", STRENGTHS)
def test_rows_are_distributions(model, strength):
    matrix = model.matrix(K, strength, rng())
    assert matrix.shape == (K, K)
    assert matrix.dtype == torch.float64
    assert (matrix >= 0).all()
    assert_close(matrix.sum(dim=1), torch.ones(K, dtype=torch.float64), **EXACT)


@every_noise_model
def test_without_strength_nothing_is_wrong(model):
    truth = labels_of(1000)
    observed, matrix = model.draw(truth, K, 0.0, rng())
    assert torch.equal(matrix, torch.eye(K, dtype=torch.float64))
    assert torch.equal(observed, truth)


@every_noise_model
def test_at_full_strength_labels_are_wrong(model):
    truth = labels_of(1000)
    observed, matrix = model.draw(truth, K, 1.0, rng())
    assert (observed != truth).double().mean() > 0.85
    assert (matrix.diagonal() <= 1 / K + 1e-12).all()


@every_noise_model
def test_the_noise_is_linear_in_its_strength(model):
    """What is drawn for the matrix does not depend on p."""
    full = model.matrix(K, 1.0, rng())
    for p in STRENGTHS:
        expected = (1 - p) * torch.eye(K, dtype=torch.float64) + p * full
        assert_close(model.matrix(K, p, rng()), expected, **EXACT)


@every_noise_model
def test_draws_come_from_the_generator(model):
    truth = labels_of(1000)
    torch.manual_seed(0)
    one, first = model.draw(truth, K, 0.5, rng(3))
    torch.manual_seed(1)
    other, second = model.draw(truth, K, 0.5, rng(3))
    assert torch.equal(one, other)
    assert torch.equal(first, second)
    assert not torch.equal(one, model.draw(truth, K, 0.5, rng(4))[0])


@every_noise_model
def test_the_matrix_is_the_one_that_labels_are_drawn_from(model):
    for count in (0, 1, 50):
        observed, matrix = model.draw(labels_of(count), K, 0.5, rng(3))
        assert observed.shape == (count,)
        assert torch.equal(matrix, model.matrix(K, 0.5, rng(3)))


@every_noise_model
def test_wrong_labels_are_nested_in_the_strength(model):
    truth = labels_of(2000)
    before = torch.zeros(2000, dtype=torch.bool)
    for p in STRENGTHS:
        wrong = model.draw(truth, K, p, rng(3))[0] != truth
        assert not (before & ~wrong).any()
        before = wrong


@every_noise_model
@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_observed_shares_are_those_of_the_matrix(model, strength):
    count = 20_000
    truth = torch.arange(count) % K
    observed, matrix = model.draw(truth, K, strength, rng(5))
    counts = torch.bincount(truth * K + observed, minlength=K * K).reshape(K, K).numpy()
    low, high = scipy.stats.binom.interval(1 - 1e-7, count // K, matrix.numpy())
    assert (low <= counts).all()
    assert (counts <= high).all()
    assert (counts[matrix.numpy() == 0] == 0).all()


@every_noise_model
def test_what_is_drawn_for_one_label_does_not_depend_on_the_others(model):
    truth = labels_of(500)
    observed = model.draw(truth, K, 0.7, rng(6))[0]
    changed = torch.where(torch.arange(500) % 2 == 0, truth, (truth + 1) % K)
    assert torch.equal(model.draw(changed, K, 0.7, rng(6))[0][::2], observed[::2])


@every_noise_model
def test_the_labels_are_left_and_keep_their_type(model):
    truth = labels_of(100).to(torch.int32)
    kept = truth.clone()
    observed, _ = model.draw(truth, K, 1.0, rng())
    assert observed.dtype == torch.int32
    assert torch.equal(truth, kept)


@every_noise_model
def test_l20_labels_stay_on_their_device(model):
    truth = labels_of(100)
    expected, matrix = model.draw(truth, K, 0.5, rng())
    with pretended() as device:
        observed, kept = model.draw(truth.to(device), K, 0.5, rng())
        assert observed.device == device
    assert torch.equal(observed.here, expected)
    assert torch.equal(kept, matrix)


@every_noise_model
@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan, math.inf])
def test_a_strength_outside_the_unit_interval_is_refused(model, strength):
    with pytest.raises(ValueError, match=rf"strength: {model.name} expected a number in \[0, 1\], got"):
        model.matrix(K, strength, rng())
    with pytest.raises(ValueError, match="strength"):
        model.draw(labels_of(5), K, strength, rng())


@every_noise_model
@pytest.mark.parametrize("classes", [0, 1])
def test_too_few_classes_are_refused(model, classes):
    with pytest.raises(ValueError, match=f"classes: {model.name} expected at least 2, got {classes}"):
        model.matrix(classes, 0.5, rng())


@every_noise_model
@pytest.mark.parametrize("wrong", [-1, K])
def test_labels_that_are_no_class_are_refused(model, wrong):
    with pytest.raises(
        ValueError, match=rf"labels: expected class indices in \[0, {K}\), got some from .*{wrong}"
    ):
        model.draw(torch.tensor([0, wrong]), K, 0.5, rng())


@pytest.mark.parametrize("labels", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64), torch.ones(2) > 0])
def test_labels_that_are_no_indices_are_refused(labels):
    with pytest.raises(ValueError, match="labels: expected integers"):
        noise_model("uniform").draw(labels, K, 0.5, rng())


@pytest.mark.parametrize(
    "rows",
    [
        tensor([[0.5, 0.6], [0, 1]]),
        tensor([[1.5, -0.5], [0, 1]]),
        tensor([[math.nan, 1], [0, 1]]),
        torch.eye(3, dtype=torch.float64),
        torch.eye(2),
    ],
)
def test_a_contributed_matrix_that_is_none_is_refused(rows):
    with pytest.raises(ValueError, match=r"contributed\.matrix: expected"):
        Contributed(rows).draw(torch.tensor([0, 1]), 2, 0.5, rng())


def test_draws_invert_the_distribution_function():
    """By hand: the true class first, then the next ones in turn."""
    matrix = tensor([[0.5, 0.2, 0.3], [0.25, 0.0, 0.75], [0.0, 0.0, 1.0]])
    truth = labels_of(300, classes=3)
    observed, _ = Contributed(matrix).draw(truth, 3, 0.5, rng(7))
    u = torch.rand(300, dtype=torch.float64, generator=rng(7))
    for i, seen, at in zip(truth.tolist(), observed.tolist(), u.tolist(), strict=True):
        total = 0.0
        for j in (i, (i + 1) % 3, (i + 2) % 3):
            total += matrix[i, j].item()
            if at < total:
                break
        assert seen == j


def test_a_row_that_ends_below_one_never_gives_a_class_without_probability(monkeypatch):
    """Rounding may leave a sum of 1 - 1e-12; the last number below 1 must not fall through."""
    matrix = tensor([[0.5, 0.5 - 1e-12, 0, 0]]).repeat(4, 1)[[0, 0, 0, 0]]
    matrix = torch.stack([row.roll(i) for i, row in enumerate(matrix)])
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), 1 - 2**-53, dtype=torch.float64))
    observed, _ = Contributed(matrix).draw(torch.arange(4), 4, 0.5, rng())
    assert observed.tolist() == [1, 2, 3, 0]


def test_the_least_random_number_never_keeps_a_label_without_probability(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.zeros(n, dtype=torch.float64))
    truth = torch.arange(4)
    assert torch.equal(noise_model("flip_next").draw(truth, 4, 1.0, rng())[0], (truth + 1) % 4)
    assert torch.equal(noise_model("flip_next").draw(truth, 4, 0.9, rng())[0], truth)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("uniform", "noise.uniform"),
        ("uniform_patrini", "noise.patrini"),
        ("flip_next", "noise.flip"),
    ],
)
def test_matrix_of_the_worked_example(name, key):
    found = noise_model(name).matrix(INPUTS["noise"]["classes"], INPUTS["noise"]["strength"], rng())
    assert_close(found, tensor(VALUES[key]), **EXACT)
