"""What holds for every objective with a head, modules or optimizers of its own."""

import math

import pytest
import torch
from network_objective_examples import B, D, K, batch, images, make
from torch import nn

from methods.base import HyperparameterError
from methods.objective import NETWORK
from methods.registry import detectors, objective

NAMES = ("generalized_odin", "deep_generative_classifier", "ssd", "joint_confidence_gan", "mtc")


every_objective = pytest.mark.parametrize("name", NAMES)


def all_losses(name, dtype=torch.float64, progress=2.0, seed=0, **hyperparameters):
    wanted, network, modules = make(name, dtype, seed=seed, **hyperparameters)
    given = batch(
        seed=seed, progress=progress, images=images(B, 1).to(dtype), unlabelled=images(4, 2).to(dtype)
    )
    return [(n, loss.detach()) for n, loss in wanted.steps(network, given, modules)]


@every_objective
def test_the_same_seeds_give_the_same_losses(name):
    first = all_losses(name)
    torch.rand(10)
    assert all_losses(name) == first
    assert [float(x) for _, x in all_losses(name, seed=1)] != [float(x) for _, x in first]


@every_objective
@pytest.mark.parametrize("progress", [0.0, 2.0])
def test_every_weight_learns_under_autocast(name, progress):
    """Autocast keeps weights that it cast; those of a pass without gradients must not be used with them."""
    wanted, network, modules = make(name, torch.float32)
    given = batch(progress=progress, images=images(B, 1).float(), unlabelled=images(4, 2).float())
    trained = {**modules, NETWORK: network}
    with torch.autocast("cpu", torch.bfloat16):
        for owner, loss in wanted.steps(network, given, modules):
            assert torch.isfinite(loss)
            loss.backward()
            idle = {n for n, p in trained[owner].named_parameters() if p.grad is None}
            stage_one = name == "mtc" and progress == 0
            assert idle == ({"head.classifier.weight", "head.classifier.bias"} if stage_one else set())


@every_objective
def test_what_changes_is_kept_in_the_state_of_the_modules(name):
    wanted, network, modules = make(name)
    for progress in (0.0, 1.0, 2.0):
        for _ in wanted.steps(network, batch(progress=progress), modules):
            pass
        wanted.end_epoch(network, modules, int(progress) + 1)
    _, other, fresh = make(name, seed=1)
    other.load_state_dict(network.state_dict())
    for key, module in fresh.items():
        module.load_state_dict(modules[key].state_dict())
    ours = [loss for _, loss in wanted.steps(network, batch(progress=3.0), modules)]
    theirs = [loss for _, loss in wanted.steps(other, batch(progress=3.0), fresh)]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            wanted.finish(network, modules).values(), wanted.finish(other, fresh).values(), strict=True
        )
    )
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in network.state_dict().items())


@every_objective
def test_its_detectors_exist(name):
    assert set(objective(name).detectors) <= set(detectors())


@pytest.mark.parametrize(
    ("name", "hyperparameters", "message"),
    [
        ("generalized_odin", {"h": "dot"}, "h: expected .*'inner'.*, got 'dot'"),
        ("deep_generative_classifier", {"pull": -1}, "pull: expected .* at least 0, got -1"),
        ("deep_generative_classifier", {"sigma_param": "exp"}, "sigma_param: expected .*, got 'exp'"),
        ("ssd", {"temperature": 0.0}, "temperature: expected a finite number above 0, got 0"),
        ("ssd", {"projection": 0}, "projection: expected at least 1, got 0"),
        ("ssd", {"labels": 1}, "labels: expected bool, got 1"),
        ("joint_confidence_gan", {"beta": -0.1}, "beta: expected .* at least 0, got -0.1"),
        ("joint_confidence_gan", {"lr": 0.0}, "lr: expected a finite number above 0, got 0"),
        ("joint_confidence_gan", {"width": 0}, "width: expected at least 1, got 0"),
        ("joint_confidence_gan", {"noise": 0}, "noise: expected at least 1, got 0"),
        ("mtc", {"stage_one": 1.5}, r"stage_one: expected a share in \[0, 1\], got 1.5"),
        ("mtc", {"history": 0}, "history: expected at least 1, got 0"),
        ("mtc", {"temperature": 0.0}, "temperature: expected a finite number above 0, got 0"),
        ("mtc", {"mixing": math.inf}, "mixing: expected a finite number above 0, got inf"),
        ("mtc", {"weight": -1.0}, "weight: expected a finite number of at least 0, got -1"),
        ("mtc", {"ramp": math.nan}, "ramp: expected a finite number of at least 0, got nan"),
        ("mtc", {"decay": 1.0}, r"decay: expected a number in \[0, 1\), got 1"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(name, hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        objective(name, **hyperparameters)


@pytest.mark.parametrize("name", ["deep_generative_classifier", "mtc"])
def test_another_head_is_an_error(name):
    wanted, network, modules = make(name)
    network.head = nn.Linear(D, K).double()
    with pytest.raises(TypeError, match="the network ends in Linear, not in this objective's"):
        wanted.loss(network, batch(), modules)


@pytest.mark.parametrize("missing", ["unlabelled", "rows"])
def test_mtc_without_unlabelled_images_is_an_error(missing):
    wanted, network, modules = make("mtc")
    with pytest.raises(ValueError, match="mtc: unlabelled images and their rows are needed"):
        wanted.loss(network, batch(**{missing: None}), modules)
