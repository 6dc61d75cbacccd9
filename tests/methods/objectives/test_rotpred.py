"""RotPred: how images are turned, and which of the losses is of which of them."""

import math

import pytest
import torch
from network_objective_examples import B, D, K, batch, check_gradients, images, make, mean, nll
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.objectives.rotpred import RotationHead, turned
from methods.registry import objective


def test_images_are_turned_by_quarters():
    image = tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # Against the clock, as the authors' code and torch turn.
    assert turned(image)[:, 0].tolist() == [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
    ]


def test_turned_images_come_turn_by_turn():
    given = images()
    found = turned(given)
    assert found.shape == (4 * B, 3, 8, 8)
    assert torch.equal(found[:B], given)
    assert torch.equal(found[B + 2], given[2].rot90(1, dims=(1, 2)))


@pytest.mark.parametrize("weight", [1.0, 0.0, 2.5])
def test_rotpred_is_the_plain_transcription(weight):
    wanted, network, modules = make("rotpred", weight=weight)
    given, head = batch(), network.head
    features = network.penultimate(turned(given.images)).reshape(4, B, D)
    own = [nll(head.classifier(h), y) for h, y in zip(features[0], given.labels, strict=True)]
    turns = [nll(head.turns(h), r) for r in range(4) for h in features[r]]
    plain = mean(own) + weight * mean(turns)
    check_gradients(wanted.loss(network, given, modules), plain, network)
    assert given.notes == {
        "class_loss": [pytest.approx(mean(own).item())],
        "turn_loss": [pytest.approx(mean(turns).item())],
    }


def test_classes_are_learnt_of_upright_images_alone():
    wanted, network, modules = make("rotpred", weight=0.0)
    network.eval()  # so that batch normalisation does not see the turned ones
    expected = nn.functional.cross_entropy(network(batch().images), batch().labels)
    assert_close(wanted.loss(network, batch(), modules), expected, **EXACT)


def test_the_head_gives_class_logits_and_those_of_the_turns():
    head = RotationHead(D, K).double()
    h = torch.randn(7, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_close(head(h), h @ head.linear.weight.T + head.linear.bias, **EXACT)
    assert head.linear is head.classifier
    assert_close(head.outputs(h), h @ head.turns.weight.T + head.turns.bias, **EXACT)
    assert head.outputs(h).shape == (7, 4)


def test_rotpred_draws_no_numbers():
    wanted, network, modules = make("rotpred")
    state, given = torch.get_rng_state(), batch()
    of_batch = given.rng.get_state()
    first = wanted.loss(network, given, modules)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(given.rng.get_state(), of_batch)
    assert torch.equal(wanted.loss(network, given, modules), first)


def test_another_head_is_an_error():
    wanted, network, modules = make("rotpred")
    network.head = nn.Linear(D, K).double()
    with pytest.raises(TypeError, match="the network ends in Linear, not in this objective's RotationHead"):
        wanted.loss(network, batch(), modules)


def test_every_weight_learns_under_autocast():
    wanted, network, modules = make("rotpred", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(network, batch(images=images(B, 1).float()), modules)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_rotpred_weight_out_of_range(weight):
    with pytest.raises(HyperparameterError, match="weight: expected a finite number of at least 0"):
        objective("rotpred", weight=weight)
