"""What holds for every correction of label noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from label_noise_examples import NOISE, Network, batch_of, labels_of, plain_losses, rng, setup, world
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from benchmark.conformance.pretended import pretended
from methods.base import Paper
from methods.label_noise import Correction
from methods.registry import family, objective, objective_class

CORRECTIONS = {name: objective(name) for name in family("corrections")}


every_correction = pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)


def test_every_correction_is_found():
    assert CORRECTIONS.keys() >= {"forward_correction", "forward_gold", "glc"}
    assert all(isinstance(correction, Correction) for correction in CORRECTIONS.values())
    assert objective_class("glc").trusted
    assert objective_class("forward_gold").trusted
    assert not objective_class("forward_correction").trusted


@every_correction
def test_a_correction_names_its_paper_and_its_first_phase(correction):
    assert isinstance(type(correction).paper, Paper)
    assert correction.first_phase == "cross_entropy"
    assert correction.starts_from is None
    assert correction.detectors


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_estimate_is_row_stochastic_and_leaves_the_setting(correction, dtype):
    made = world(dtype=dtype)
    before = [t.clone() for t in (made.first, made.labels, made.trusted)]
    found = correction.estimate(made)
    assert found.shape == (3, 3)
    assert found.dtype == torch.float64
    assert (found >= 0).all()
    assert_close(found.sum(dim=1), torch.ones(3, dtype=torch.float64), **EXACT)
    found.fill_(7)  # no view of it either
    assert_close((made.first, made.labels, made.trusted), tuple(before), rtol=0, atol=0)


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_an_estimate_works_on_is_its_own(correction, dtype):
    made = world(dtype=dtype)
    before = made.first.clone()
    found = correction.probabilities(made)
    assert found.dtype == torch.float64
    assert torch.equal(found, before.double())
    found.zero_()
    assert torch.equal(made.first, before)


@every_correction
def test_a_first_phase_that_knows_the_noise_gives_it(correction):
    made = world()
    truth = labels_of(300, classes=3, seed=9)
    assert_close(correction.estimate(replace(made, first=NOISE[truth])), NOISE, **EXACT)


@every_correction
def test_the_order_of_images_does_not_matter(correction):
    made = world()
    order = torch.randperm(300, generator=rng(11))
    other = setup(made.first[order], made.labels[order], made.trusted[order])
    assert_close(correction.estimate(other), correction.estimate(made), **EXACT)


@every_correction
def test_l20_the_estimate_is_of_any_device_and_comes_to_the_cpu(correction):
    made = world()
    expected = correction.estimate(made)
    with pretended() as device:
        there = setup(made.first.to(device), made.labels.to(device), made.trusted.to(device))
        found = correction.modules(there)["noise"]()
    assert_close(found, expected, **EXACT)


@every_correction
def test_the_matrix_is_kept_with_the_state_of_the_training(correction):
    made = world()
    kept, other = nn.ModuleDict(correction.modules(made)), nn.ModuleDict(correction.modules(world(seed=12)))
    assert_close(kept["noise"](), correction.estimate(made), **EXACT)
    assert not list(kept.parameters())
    assert not torch.equal(kept["noise"](), other["noise"]())
    other.load_state_dict(kept.state_dict())
    batch = batch_of(made)
    losses = [correction.loss(Network(), batch, dict(m.items())) for m in (kept, other)]
    assert torch.equal(*losses)


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_noise_and_with_a_perfect_first_phase_it_is_cross_entropy(correction, dtype):
    truth = labels_of(300, classes=3)
    perfect = functional.one_hot(truth, 3).to(dtype)
    made = setup(perfect, truth, torch.arange(300) % 7 == 0)
    network, batch = Network(dtype=dtype), batch_of(made, dtype=dtype)
    found = correction.loss(network, batch, correction.modules(made))
    assert_close(found, functional.cross_entropy(network(batch.images), batch.labels))


@every_correction
def test_the_loss_is_the_mean_over_the_batch_in_plain_arithmetic(correction):
    made, network = world(), Network()
    batch, modules = batch_of(made), correction.modules(made)
    with torch.no_grad():
        logits = network(batch.images).numpy()
    trusted = batch.trusted.numpy() if correction.trusted else np.zeros(len(logits), bool)
    expected = plain_losses(logits, batch.labels.numpy(), trusted, correction.estimate(made).numpy())
    assert trusted.any() == correction.trusted
    assert_close(correction.loss(network, batch, modules).item(), np.mean(expected).item(), **EXACT)


@every_correction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_gradients_are_finite(correction, dtype, scale):
    made = world()
    for first in (
        made.first,
        functional.one_hot(made.labels, 3).double(),
        tensor([[1, 0, 0]]).repeat(300, 1),
    ):
        network, batch = Network(scale, dtype), batch_of(made, dtype=dtype)
        loss = correction.loss(network, batch, correction.modules(replace(made, first=first)))
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in network.parameters())
        if first is made.first and scale <= 1:  # else all labels may be below the floor, or p be 0 and 1
            assert all(p.grad.any() for p in network.parameters())


@every_correction
@pytest.mark.parametrize(
    ("first", "message"),
    [
        (None, "got none"),
        (torch.full((300, 2), 0.5), r"shape \(N, 3\)"),
        (torch.full((3,), 1 / 3), r"shape \(N, 3\)"),
        (torch.empty(0, 3), r"shape \(N, 3\)"),
        (torch.full((300, 3), 0.5), "sum to 1"),
        (tensor([[1.5, -0.5, 0]]).repeat(300, 1), "probabilities"),
        (tensor([[math.nan, 0.5, 0.5]]).repeat(300, 1), "probabilities"),
    ],
)
def test_a_setting_without_probabilities_is_refused(correction, first, message):
    with pytest.raises(ValueError, match=rf"setup\.first: {correction.name} expected .*{message}"):
        correction.modules(replace(world(), first=first))


@every_correction
def test_what_is_not_trusted_needs_no_trusted_labels(correction):
    made = world()
    bare = setup(made.first, made.labels)
    batch = replace(batch_of(made), trusted=None)
    if correction.trusted:
        with pytest.raises(ValueError, match=rf"setup\.trusted: {correction.name} expected"):
            correction.modules(bare)
        with pytest.raises(ValueError, match=rf"batch\.trusted: {correction.name} expected"):
            correction.loss(Network(), batch, correction.modules(made))
    else:
        assert correction.loss(Network(), batch, correction.modules(bare)).isfinite()


@pytest.mark.parametrize("name", [n for n, c in CORRECTIONS.items() if c.trusted])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trusted": torch.zeros(300, dtype=torch.bool)}, "expected at least one trusted label"),
        ({"trusted": torch.zeros(300)}, r"expected bool \(300,\)"),
        ({"trusted": torch.ones(299, dtype=torch.bool)}, r"expected bool \(300,\)"),
        ({"labels": torch.empty(0, dtype=torch.int64)}, r"setup\.labels: .* expected shape \(300,\)"),
        ({"labels": torch.full((300,), 3)}, r"labels: expected class indices in \[0, 3\)"),
        ({"first": torch.full((300, 4), 0.25)}, r"setup\.first: .* expected shape \(N, 3\)"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(name, change, message):
    with pytest.raises(ValueError, match=message):
        objective(name).modules(replace(world(), **change))


class Broken(Correction):
    name = "broken"

    def estimate(self, setup):
        return 2 * torch.eye(3, dtype=torch.float64)

    def loss(self, network, batch, modules):
        raise AssertionError


def test_a_contributed_estimate_that_is_no_matrix_of_noise_is_refused():
    with pytest.raises(ValueError, match=r"broken\.estimate: expected rows that are probabilities"):
        Broken().modules(world())
