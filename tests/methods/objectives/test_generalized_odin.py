"""Generalized ODIN and its detector: worked examples and a plain transcription."""

import math

import pytest
import torch
from network_objective_examples import INPUTS, VALUES, D, K, batch, check_gradients, make, mean, nll
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError, NotApplicable
from methods.detectors.godin import GODIN
from methods.objectives.generalized_odin import DecomposedHead
from methods.registry import detector


def decomposed(similarity, g=None):
    given = INPUTS["godin"]
    head = DecomposedHead(3, 2, similarity).double().eval()
    with torch.no_grad():
        head.weight.copy_(tensor(given["W"]))
        if head.bias is not None:
            head.bias.copy_(tensor(given["b"]))
    if g is not None:
        head.doubt = nn.Module()
        head.doubt.forward = lambda f: g[: len(f), None] + 0 * f[:, :1]
    return head


@pytest.mark.parametrize(
    ("similarity", "key", "factor"),
    [("inner", "hI", 1), ("euclid", "hE_mean", 1), ("euclid", "hE_sum", 3)],
)
def test_h_is_the_worked_one(similarity, key, factor):
    found = decomposed(similarity).h(tensor(INPUTS["godin"]["f"]))
    assert_close(factor * found, tensor(VALUES[f"godin.{key}"]), **EXACT)


def test_the_cosine_h_g_and_logits_are_the_worked_ones():
    """The worked cosine has 1e-4 added to both norms, as the text says."""
    head = decomposed("cosine", tensor(INPUTS["godin"]["normed"]))
    f = tensor(INPUTS["godin"]["f"])
    assert_close(head.h(f), tensor(VALUES["godin.hC"]), **EXACT)
    assert_close(head.g(f)[:, 0], tensor(VALUES["godin.g"]), **EXACT)
    assert_close(head(f), tensor(VALUES["godin.logits_C"]), **EXACT)
    assert_close(head.outputs(f), torch.cat([head.h(f), head.g(f)], dim=1), **EXACT)
    scores = GODIN().score(Features(head(f), outputs=head.outputs(f)))
    assert_close(scores, tensor(VALUES["godin.score_h"]), **EXACT)
    g = GODIN(part="g").score(Features(head(f), outputs=head.outputs(f)))
    assert_close(g, tensor(VALUES["godin.g"]), **EXACT)


def test_a_g_of_zero_leaves_finite_logits():
    head = decomposed("cosine", tensor([-800.0, 0.0]))
    f = tensor(INPUTS["godin"]["f"])
    assert_close(head(f)[0], head.h(f)[0] * 1e6, **EXACT)
    loss = functional.cross_entropy(head(f), torch.tensor([0, 1]))
    assert torch.isfinite(torch.autograd.grad(loss, head.weight)[0]).all()


def test_only_what_h_is_made_of_is_undecayed():
    for similarity, expected in [
        ("inner", {"weight", "bias"}),
        ("euclid", {"weight"}),
        ("cosine", {"weight"}),
    ]:
        head = DecomposedHead(D, K, similarity)
        assert head.no_weight_decay() == expected
        assert expected <= {name for name, _ in head.named_parameters()}
        assert head.linear is None


def test_the_weights_of_h_are_kaiming_normal():
    torch.manual_seed(0)
    weight = DecomposedHead(400, 50, "inner").weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)  # 5 standard errors are 0.025


def euclidean(x):
    head = decomposed("euclid", tensor([0.0, 0.0]))
    f = x.flatten(1)
    return Features(head(f), outputs=head.outputs(f))


def test_the_step_of_godin_is_the_worked_one():
    x = tensor(INPUTS["godin"]["f"])[:, :, None, None]
    assert_close(GODIN().score_images(euclidean, x), tensor(VALUES["godin.scoreE"]), **EXACT)
    stepped = GODIN(epsilon=INPUTS["godin"]["epsilon"])
    direction = stepped.direction(euclidean, x)
    assert torch.equal(direction.flatten(1), -tensor(VALUES["godin.gradE"]).sign())
    assert_close((x - 0.01 * direction).flatten(1), tensor(VALUES["godin.x2"]), **EXACT)
    assert_close(stepped.score_images(euclidean, x), tensor(VALUES["godin.scoreE_pert"]), **EXACT)
    assert_close(stepped.score_images(euclidean, x, direction), tensor(VALUES["godin.scoreE_pert"]), **EXACT)
    loss = stepped.loss(euclidean(x))
    assert_close(loss, -tensor(VALUES["godin.scoreE"]), **EXACT)


def test_a_pixel_without_a_gradient_is_raised():
    x = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
    seen = []

    def network(images):
        seen.append(images)
        return Features(torch.zeros(1, 2), outputs=(0 * images).flatten(1))

    GODIN(epsilon=0.25).score_images(network, x)
    assert torch.equal(seen[-1], x + 0.25)


def test_the_step_is_chosen_from_the_published_grid():
    assert GODIN.step_grid == (0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
    assert GODIN().step == 0
    assert GODIN(epsilon=0.02).step == 0.02


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("godin", K, "no generalized ODIN head: 3 outputs for 3 classes"),
        ("mcdd", K + 1, "no head of class distances: 4 outputs for 3 classes"),
        ("domain", K, "no domain head: 3 outputs"),
    ],
)
def test_outputs_of_another_head_are_not_applicable(name, width, message):
    with pytest.raises(NotApplicable, match=message):
        detector(name).score(Features(torch.zeros(2, K), outputs=torch.zeros(2, width)))


@pytest.mark.parametrize("h", ["inner", "euclid", "cosine"])
def test_generalized_odin_is_the_plain_transcription(h):
    wanted, network, modules = make("generalized_odin", h=h)
    with torch.no_grad():
        for p in network.head.parameters():
            p.add_(0.3 * torch.randn_like(p))
    given, head = batch(), network.head
    f = network.penultimate(given.images)
    linear, norm = head.doubt
    a = [sum(linear.weight[0] * row) + linear.bias[0] for row in f]
    centre = mean(a)
    variance = mean((x - centre) ** 2 for x in a)
    losses = []
    for row, x, label in zip(f, a, given.labels, strict=True):
        post = norm.weight[0] * (x - centre) / torch.sqrt(variance + norm.eps) + norm.bias[0]
        g = 1 / (1 + torch.exp(-post))
        if h == "inner":
            values = [sum(row * w) + b for w, b in zip(head.weight, head.bias, strict=True)]
        elif h == "euclid":
            values = [-mean((row - w) ** 2) for w in head.weight]
        else:
            norms = [torch.sqrt(sum(w**2)) + 1e-4 for w in head.weight]
            values = [
                sum(row * w) / n / (torch.sqrt(sum(row**2)) + 1e-4)
                for w, n in zip(head.weight, norms, strict=True)
            ]
        losses.append(nll(torch.stack(values) / g, label))
    check_gradients(wanted.loss(network, given, modules), mean(losses), network)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"epsilon": -0.1}, "epsilon: expected None or .* at least 0"),
        ({"part": "f"}, "part: expected .*got 'f'"),
    ],
)
def test_a_wrong_hyperparameter_of_godin_is_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        detector("godin", **hyperparameters)
