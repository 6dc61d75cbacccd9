"""VOS: what is kept of each class, how far out virtual outliers are, and a transcription of the loss."""

import math
from collections import deque

import numpy as np
import pytest
import scipy.stats
import torch
from network_objective_examples import SIZE, B, D, K, batch, check_gradients, images, make, mean, nll
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, HyperparameterError, Setup
from methods.objectives._virtual import EnergyHead, Recent, longest
from methods.registry import detector, objective


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def recent(*sizes, dimension=D):
    return Recent(torch.tensor(sizes), dimension).double()


def filled(*sizes, seed=0, dimension=D):
    made = recent(*sizes, dimension=dimension)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    made.add(normal(len(labels), dimension, seed=seed), labels)
    return made


def test_the_last_features_of_each_class_are_kept():
    """Against a queue a class, over batches of which some hold more of a class than is kept."""
    made, queues = recent(4, 2, 5), [deque(maxlen=n) for n in (4, 2, 5)]
    draw = np.random.default_rng(0)
    for step in range(30):
        labels = torch.from_numpy(draw.integers(3, size=draw.integers(1, 14)))
        features = normal(len(labels), D, seed=step)
        made.add(features, labels)
        for row, label in zip(features, labels.tolist(), strict=True):
            queues[label].append(row.tolist())
        for kept, count, queue in zip(made.features, made.counts.tolist(), queues, strict=True):
            here = kept[: min(count, queue.maxlen)].tolist()
            assert sorted(here) == sorted(queue)
    assert made.full()


def test_it_is_full_once_every_class_is():
    made = recent(2, 3)
    made.add(normal(4, D), torch.tensor([0, 0, 1, 1]))
    assert not made.full()
    made.add(normal(1, D), torch.tensor([1]))
    assert made.full()


def test_the_gaussians_of_the_worked_example():
    """Class 0 at 1 and 3 has the mean 2, class 1 at 0, 0 and 6 the mean 2: (1 + 1 + 4 + 4 + 16) / 5 = 5.2."""
    made = recent(2, 3, dimension=1)
    made.add(tensor([1, 3, 0, 0, 6])[:, None], torch.tensor([0, 0, 1, 1, 1]))
    means, root = made.gaussians(0.05)
    assert_close(means, tensor([[2.0], [2.0]]), **EXACT)
    assert_close(root, tensor([[math.sqrt(5.25)]]), **EXACT)


def test_the_gaussians_share_the_covariance_of_the_centred_features():
    made = filled(4, 9, 6)
    h = [kept[:n].numpy() for kept, n in zip(made.features, (4, 9, 6), strict=True)]
    centred = np.concatenate([part - part.mean(axis=0) for part in h])
    means, root = made.gaussians(1e-4)
    assert_close(means, torch.from_numpy(np.stack([part.mean(axis=0) for part in h])), **EXACT)
    expected = np.cov(centred.T, bias=True) + 1e-4 * np.eye(D)
    assert_close(root @ root.T, torch.from_numpy(expected), **EXACT)


def test_a_class_without_images_has_no_gaussian():
    with_none, without = recent(3, 0, 4), filled(3, 4)
    labels = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    with_none.add(torch.cat([without.features[0, :3], without.features[1]]), labels)
    assert with_none.full()
    for ours, theirs in zip(with_none.gaussians(1e-4), without.gaussians(1e-4), strict=True):
        assert_close(ours, theirs, **EXACT)


def test_features_that_do_not_vary_have_a_gaussian():
    made = recent(3, 3)
    made.add(torch.ones(6, D, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 1]))
    _, root = made.gaussians(1e-4)
    assert_close(root, 0.01 * torch.eye(D, dtype=torch.float64), **EXACT)


@pytest.mark.parametrize(("dimension", "candidates"), [(1, 20), (3, 10_000), (512, 1000)])
def test_the_longest_have_the_lengths_of_the_longest_of_many(dimension, candidates):
    """P(the longest of S is shorter) = F^S with F of χ²; P(the second is) = S F^(S − 1) − (S − 1) F^S."""
    drawn = longest(2000, 2, dimension, candidates, rng(1))
    assert drawn.shape == (2000, 2, dimension)
    first, second = drawn.square().sum(dim=2).T.numpy()
    assert (first >= second).all()
    chi2 = scipy.stats.chi2(dimension).cdf

    def cdf_of_second(x):
        return candidates * chi2(x) ** (candidates - 1) - (candidates - 1) * chi2(x) ** candidates

    assert scipy.stats.kstest(first, lambda x: chi2(x) ** candidates).pvalue > 0.01  # of a fixed seed
    assert scipy.stats.kstest(second, cdf_of_second).pvalue > 0.01


def test_the_longest_are_as_those_that_are_drawn_and_chosen():
    """The release's way: draw all, keep the longest. Lengths, and the place along one axis."""
    many = normal(1500, 50, 3, seed=4)
    at = many.square().sum(dim=2).argmax(dim=1)
    chosen = many[torch.arange(1500), at].numpy()
    ours = longest(1500, 1, 3, 50, rng(2))[:, 0].numpy()
    assert scipy.stats.ks_2samp(ours[:, 0], chosen[:, 0]).pvalue > 0.01
    lengths = np.linalg.norm(ours, axis=1), np.linalg.norm(chosen, axis=1)
    assert scipy.stats.ks_2samp(*lengths).pvalue > 0.01


def test_all_candidates_can_be_selected():
    drawn = longest(3, 5, 2, 5, rng())
    lengths = torch.linalg.vector_norm(drawn, dim=2)
    assert torch.isfinite(drawn).all()
    assert torch.equal(lengths, lengths.sort(dim=1, descending=True).values)


def test_what_is_drawn_comes_from_the_generator():
    first = longest(2, 2, 4, 100, rng(1))
    torch.manual_seed(7)
    assert torch.equal(longest(2, 2, 4, 100, rng(1)), first)
    assert not torch.equal(longest(2, 2, 4, 100, rng(2)), first)


def worked_head():
    """z = (h, −h), w = (2, −1), φ(−E) = (1 − ½ (−E), 3 (−E))."""
    head = EnergyHead(1, 2).double()
    with torch.no_grad():
        head.classifier.weight.copy_(tensor([[1.0], [-1.0]]))
        head.classifier.bias.zero_()
        head.weights.copy_(tensor([2.0, -1.0]))
        head.told.weight.copy_(tensor([[-0.5], [3.0]]))
        head.told.bias.copy_(tensor([1.0, 0.0]))
    return head


def test_the_output_of_the_worked_example():
    """−E = log(2 e^h) = h + log 2, the negative weight does not count; d = 3.5 (h + log 2) − 1."""
    h = tensor([[0.0], [1.5]])
    expected = 3.5 * (h + math.log(2)) - 1
    assert_close(worked_head().outputs(h), expected, **EXACT)


def test_the_detector_domain_is_the_papers_score():
    head, h = worked_head(), tensor([[0.0], [1.5]])
    with torch.no_grad():
        found = detector("domain").score(Features(logits=head(h), outputs=head.outputs(h)))
    assert_close(found, torch.sigmoid(3.5 * (h + math.log(2)) - 1)[:, 0], **EXACT)


def test_the_head_gives_linear_logits():
    head, h = EnergyHead(D, K).double(), normal(7, D)
    assert head.linear is head.classifier
    assert_close(head(h), h @ head.linear.weight.T + head.linear.bias, **EXACT)
    assert head.weights.min() >= 0
    assert head.weights.max() <= 1
    assert head.outputs(h).shape == (7, 1)


def test_the_output_of_a_new_head_rises_with_the_logits():
    """Whatever the seed: a low energy is in-distribution from the first step on."""
    low, high = tensor([[0.0, 0.0]]), tensor([[4.0, 4.0]])
    for seed in range(20):
        torch.manual_seed(seed)
        head = EnergyHead(2, 2).double()
        with torch.no_grad():
            head.classifier.weight.copy_(torch.eye(2))
            assert head.outputs(high) > head.outputs(low)


def test_weights_that_have_all_died_leave_the_loss_finite():
    head = EnergyHead(D, K)
    with torch.no_grad():
        head.weights.fill_(-1.0)
    sides = head.sides(normal(4, K).float())
    sides.sum().backward()
    assert torch.isfinite(sides).all()
    assert all(torch.isfinite(p.grad).all() for p in (head.weights, *head.told.parameters()))


def prepared(**changes):
    """An objective, network and modules of which every class is full but for the batch of two each."""
    wanted, network, modules = make("vos", **{"queue": 7, **changes})
    labels = torch.arange(K).repeat(7)
    modules["recent"].add(normal(len(labels), D, seed=8), labels)
    return wanted, network, modules


@pytest.mark.parametrize("changes", [{}, {"weight": 0.0}, {"weight": 1.5, "select": 3, "shrinkage": 0.1}])
def test_vos_is_the_plain_transcription(changes):
    wanted, network, modules = prepared(**changes)
    before = modules["recent"].features.clone()
    given, head = batch(seed=5, progress=3.0), network.head
    f = network.penultimate(given.images)
    kept = before.clone()
    for row, y in zip(f.detach(), given.labels.tolist(), strict=True):
        kept[y] = torch.cat([kept[y, 1:], row[None]])
    mu = kept.mean(dim=1)
    centred = (kept - mu[:, None]).reshape(-1, D)
    root = torch.linalg.cholesky(
        centred.T @ centred / len(centred) + wanted.shrinkage * torch.eye(D).double()
    )
    drawn = longest(K, wanted.select, D, 10_000, rng(5))
    virtual = [mu[c] + root @ drawn[c, j] for c in range(K) for j in range(wanted.select)]

    def told(h):
        w = functional.relu(head.weights)
        minus_energy = torch.log(sum(w[k] * torch.exp(z) for k, z in enumerate(head.classifier(h))))
        return head.told.weight[:, 0] * minus_energy + head.told.bias

    own = mean(nll(head.classifier(h), y) for h, y in zip(f, given.labels, strict=True))
    apart = mean([*(nll(told(h), 1) for h in f), *(nll(told(v), 0) for v in virtual)])
    check_gradients(wanted.loss(network, given, modules), own + wanted.weight * apart, network)
    assert given.notes == {
        "class_loss": [pytest.approx(own.item())],
        "uncertainty_loss": [pytest.approx(apart.item())],
    }


def test_before_its_start_it_is_cross_entropy_and_keeps_features():
    wanted, network, modules = prepared(start=0.5)
    given, counts = batch(progress=1.99), modules["recent"].counts.clone()
    state = given.rng.get_state()
    loss = wanted.loss(network, given, modules)
    expected = functional.cross_entropy(network(given.images), given.labels)
    assert_close(loss, expected, **EXACT)
    assert "uncertainty_loss" not in given.notes
    assert torch.equal(given.rng.get_state(), state)
    assert torch.equal(modules["recent"].counts, counts + B // K)
    after = batch(progress=2.0)
    wanted.loss(network, after, modules)
    assert "uncertainty_loss" in after.notes


def test_until_every_class_is_full_it_is_cross_entropy():
    wanted, network, modules = make("vos", queue=3, start=0.0)
    notes = []
    for _ in range(2):  # two images of each class
        given = batch()
        wanted.loss(network, given, modules)
        notes.append(set(given.notes))
    assert notes == [{"class_loss"}, {"class_loss", "uncertainty_loss"}]


def test_a_class_keeps_no_more_than_it_has():
    val = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    labels = torch.tensor([0] * 5 + [2] * 40)
    setup = Setup(nn.Identity(), D, K, SIZE, 4, val, labels=labels)
    made = objective("vos", queue=20).modules(setup)["recent"]
    assert made.sizes.tolist() == [5, 0, 20]
    assert made.features.shape == (K, 20, D)


def test_what_changes_is_kept_in_the_state_of_the_modules():
    wanted, network, modules = prepared()
    wanted.loss(network, batch(seed=1, progress=3.0), modules)
    _, other, fresh = make("vos", queue=7, seed=1)
    other.load_state_dict(network.state_dict())
    fresh["recent"].load_state_dict(modules["recent"].state_dict())
    ours = wanted.loss(network, batch(seed=2, progress=3.0), modules)
    assert torch.equal(ours, wanted.loss(other, batch(seed=2, progress=3.0), fresh))
    assert list(modules["recent"].parameters()) == []


def test_features_that_are_not_finite_give_a_loss_that_is_not():
    """The trainer then says in which epoch; an error of the decomposition would not."""
    wanted, network, modules = prepared()
    with torch.no_grad():
        network.body[0].weight.fill_(math.nan)
    assert torch.isnan(wanted.loss(network, batch(progress=3.0), modules))


def test_every_weight_learns_under_autocast():
    wanted, network, modules = make("vos", torch.float32, queue=1)
    given = batch(images=images(B, 1).float(), progress=3.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = wanted.loss(network, given, modules)
    assert "uncertainty_loss" in given.notes
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_another_head_is_an_error():
    wanted, network, modules = make("vos")
    network.head = nn.Linear(D, K).double()
    with pytest.raises(TypeError, match="the network ends in Linear, not in this objective's EnergyHead"):
        wanted.loss(network, batch(), modules)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"weight": -0.1}, "weight: expected a finite number of at least 0, got -0.1"),
        ({"queue": 0}, "queue: expected at least 1, got 0"),
        ({"select": 0}, "select: expected at least 1, got 0"),
        ({"select": 5, "candidates": 4}, "candidates: expected at least as many as `select`, 5, got 4"),
        ({"start": 1.1}, r"start: expected a share in \[0, 1\], got 1.1"),
        ({"shrinkage": 0.0}, "shrinkage: expected a finite number above 0, got 0"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(hyperparameters, message):
    with pytest.raises(HyperparameterError, match=message):
        objective("vos", **hyperparameters)
