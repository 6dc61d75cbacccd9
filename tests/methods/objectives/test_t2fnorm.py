"""T2FNorm: its loss does not feel the length of features, and its logits do."""

import math

import pytest
import torch
from network_objective_examples import D, K, batch, check_gradients, make, mean, nll
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.objectives.t2fnorm import TemperedHead
from methods.registry import objective


def head(temperature=0.5):
    made = TemperedHead(2, 3, temperature).double()
    with torch.no_grad():
        made.classifier.weight.copy_(tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
        made.classifier.bias.copy_(tensor([0.0, 0.5, 0.0]))
    return made


def test_t2fnorm_by_hand():
    h = tensor([[3.0, 4.0], [0.3, 0.4]])
    # Of unit length both are (0.6, 0.8); τ = 1/2 doubles what the weights make of it.
    assert_close(head().trained(h), tensor([[1.2, 2.1, -2.8]] * 2), **EXACT)
    assert_close(head()(h), tensor([[6.0, 8.5, -14.0], [0.6, 1.3, -1.4]]), **EXACT)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_t2fnorm_is_the_plain_transcription(temperature):
    wanted, network, modules = make("t2fnorm", temperature=temperature)
    given, layer = batch(), network.head.classifier
    losses = []
    for h, y in zip(network.penultimate(given.images), given.labels, strict=True):
        unit = h / torch.sqrt(sum(h**2))
        z = [sum(unit * w) / temperature + b for w, b in zip(layer.weight, layer.bias, strict=True)]
        losses.append(nll(torch.stack(z), y))
    check_gradients(wanted.loss(network, given, modules), mean(losses), network)


@pytest.mark.parametrize("training", [True, False])
def test_t2fnorm_is_the_same_in_train_and_eval_mode(training):
    """A linear probe keeps the body in eval mode."""
    wanted, network, modules = make("t2fnorm")
    network.head.train(training)
    expected = network.head.trained(network.penultimate(batch().images))
    assert_close(
        wanted.loss(network, batch(), modules), functional.cross_entropy(expected, batch().labels), **EXACT
    )


def test_its_linear_layer_gives_the_logits_in_use():
    wanted, network, _ = make("t2fnorm")
    state = torch.get_rng_state()
    linear = network.head.linear
    assert torch.equal(torch.get_rng_state(), state)  # it is made without a draw
    h = network.penultimate(batch().images)
    assert_close(functional.linear(h, linear.weight, linear.bias), network(batch().images), **EXACT)
    assert not linear.weight.requires_grad
    assert wanted.head(D, K).outputs(h).shape == (len(h), 0)
    assert set(network.head.state_dict()) == {"classifier.weight", "classifier.bias"}


def test_the_linear_layer_follows_the_weights():
    made = head()
    before = made.linear.weight
    with torch.no_grad():
        made.classifier.weight.mul_(2)
    assert_close(made.linear.weight, 2 * before, **EXACT)
    assert_close(before, 2 * tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), **EXACT)


def test_the_loss_does_not_feel_the_length_of_features():
    made, h = head(), tensor([[3.0, 4.0], [-1.0, 0.5]])
    assert_close(made.trained(1e6 * h), made.trained(h), **EXACT)


def test_features_of_zero_have_a_finite_gradient():
    h = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    loss = functional.cross_entropy(head().trained(h), torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(2 + math.exp(0.5)))  # of the bias alone
    assert torch.isfinite(torch.autograd.grad(loss, h)[0]).all()


def test_another_head_is_an_error():
    wanted, network, modules = make("t2fnorm")
    network.head = nn.Linear(D, K).double()
    with pytest.raises(TypeError, match="the network ends in Linear, not in this objective's TemperedHead"):
        wanted.loss(network, batch(), modules)


def test_every_weight_learns_under_autocast():
    wanted, network, modules = make("t2fnorm", torch.float32)
    given = batch(images=batch().images.float())
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(network, given, modules)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_t2fnorm_temperature_out_of_range(temperature):
    with pytest.raises(HyperparameterError, match="temperature: expected a finite number above 0"):
        objective("t2fnorm", temperature=temperature)
