"""Multi-task curriculum: worked examples, plain transcriptions, and what stays put."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from network_objective_examples import (
    INPUTS,
    SIZE,
    UNLABELLED,
    VALUES,
    B,
    D,
    K,
    Network,
    batch,
    check_gradients,
    images,
    make,
    mean,
    nll,
)
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.objectives import _augment
from methods.objectives._curriculum import Average, Curriculum, DomainHead, otsu
from methods.objectives._mixmatch import mixed, sharpened, unlabelled_loss, weight_of_unlabelled
from methods.registry import detector, objective


def test_otsu_is_the_worked_one_and_keeps_what_a_histogram_does_not_part():
    values = torch.tensor(INPUTS["otsu"])
    found = otsu(values.double())
    assert found == pytest.approx(tuple(VALUES["otsu.exact"]), rel=1e-7)  # of float32 values
    assert int((values >= found[1]).sum()) == 4
    assert int((values >= VALUES["otsu.hist256"]).sum()) == VALUES["otsu.keep"]
    assert otsu(tensor(INPUTS["otsu"])) == pytest.approx(tuple(VALUES["otsu.exact"]), rel=1e-12)


def test_otsu_takes_the_smallest_of_equal_thresholds():
    assert otsu(tensor([1.0, 0.0, 0.5])) == (pytest.approx(0.125), 0.25)  # (1/3)(2/3)(3/4)²


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.7]])
def test_values_that_are_all_the_same_are_all_kept(values):
    assert otsu(tensor(values)) == (0.0, values[0])


@pytest.mark.parametrize("seed", range(5))
def test_otsu_is_the_best_of_all_midpoints(seed):
    values = torch.rand(30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).round(
        decimals=1
    )
    unique = sorted(set(values.tolist()))
    found = []
    for low, high in itertools.pairwise(unique):
        t = (low + high) / 2
        lower, upper = [v for v in values.tolist() if v < t], [v for v in values.tolist() if v >= t]
        variance = len(lower) * len(upper) / 900 * (np.mean(lower) - np.mean(upper)) ** 2
        found.append((variance, t))
    assert otsu(values) == pytest.approx(max(found, key=lambda pair: pair[0]), rel=1e-12)


def test_sharpening_and_the_ramp_are_the_worked_ones():
    given = INPUTS["sharpen"]
    assert_close(sharpened(tensor([given["p"]]), given["temperature"])[0], tensor(VALUES["sharpen"]), **EXACT)
    assert_close(sharpened(tensor([[1.0, 0.0]]), 0.5), tensor([[1.0, 0.0]]), **EXACT)
    ramp = INPUTS["ramp"]
    assert weight_of_unlabelled(ramp["epochs"], ramp["weight"], ramp["length"]) == VALUES["mtc.ramp"]
    assert [weight_of_unlabelled(e, 75, 16) for e in (0, 16, 100)] == [0, 75, 75]
    assert weight_of_unlabelled(0, 75, 0) == 75


def test_the_mean_squared_difference_is_of_probabilities():
    logits = tensor([[2.0, 0.0], [0.0, 0.0]])
    p = math.exp(2) / (math.exp(2) + 1)
    found = unlabelled_loss(logits, tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert found.item() == pytest.approx(2 * (1 - p) ** 2 / 4, rel=1e-12)
    assert unlabelled_loss(torch.zeros(0, 2), torch.zeros(0, 2)) == 0


def test_the_image_itself_is_the_larger_part_of_a_mix():
    for seed in range(20):
        x = torch.arange(5.0).reshape(5, 1, 1, 1) ** 3
        targets = torch.eye(5)
        found, labels = mixed(x, targets, 0.75, torch.Generator().manual_seed(seed))
        assert (labels.diagonal() >= 0.5).all()
        assert_close(labels.sum(dim=1), torch.ones(5))
        assert_close(found.flatten(), labels @ x.flatten())


def test_domain_labels_are_means_of_the_last_epochs():
    curriculum = Curriculum(4, 3)
    said = {0: [0.2, 0.4, 0.9, 0.6, 0.1], 2: [0.5, 0.5, 0.5, 0.8, 0.7]}
    for epoch in range(5):
        curriculum.store(torch.tensor([0]), torch.tensor([0.99]))  # overruled by the last
        for row, values in said.items():
            curriculum.store(torch.tensor([row]), torch.tensor([values[epoch]]))
        if epoch in (0, 4):  # image 3 is seen twice in all
            curriculum.store(torch.tensor([3]), torch.tensor([0.9]))
        curriculum.end_epoch()
        last = slice(max(0, epoch - 2), epoch + 1)
        expected = [np.mean(said[i][last]) if i in said and epoch >= 2 else 0.0 for i in range(4)]
        assert_close(curriculum.labels, torch.tensor(expected, dtype=torch.float32))
    assert curriculum.counts.tolist() == [5, 0, 5, 2]
    assert not curriculum.seen.any()
    # labels 0.533, 0, 0.667, 0: the threshold is between 0 and 0.533
    assert curriculum.threshold.item() == pytest.approx(1.6 / 6, rel=1e-6)
    assert curriculum.kept(torch.tensor([2, 1, 0, 3])).tolist() == [True, False, True, False]


def test_all_unlabelled_images_are_kept_before_there_is_a_threshold():
    curriculum = Curriculum(3, 2)
    assert curriculum.kept(torch.arange(3)).all()
    curriculum.store(torch.tensor([1]), torch.tensor([0.4]))
    curriculum.end_epoch()
    assert curriculum.kept(torch.arange(3)).all()


def test_the_domain_loss_is_that_of_soft_labels():
    curriculum = Curriculum(4, 2).double()
    curriculum.labels.copy_(tensor([0.1, 0.2, 0.3, 0.4]))
    logits = tensor([1.0, -2.0, 0.5, 3.0])
    p = 1 / (1 + torch.exp(-logits))
    labels = [1, 1, 0.4, 0.1]
    plain = -mean(y * torch.log(q) + (1 - y) * torch.log(1 - q) for y, q in zip(labels, p, strict=True))
    assert_close(curriculum.loss(logits, torch.tensor([3, 0])), plain, **EXACT)
    assert_close(curriculum.current, torch.stack([p[3], tensor(0), tensor(0), p[2]]), **EXACT)
    assert curriculum.seen.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("share", "epochs", "expected"),
    [
        (100 / 1124, 1124, 100),
        (100 / 1124, 18, 2),
        (0.5, 18, 9),
        (0.1, 2, 1),
        (1.0, 5, 4),
        (0.1, 1, 0),
        (0.0, 9, 0),
    ],
)
def test_the_first_stage_is_a_share_of_the_epochs(share, epochs, expected):
    assert objective("mtc", stage_one=share).first_epochs(epochs) == expected
    assert objective("mtc").stage_one == 100 / 1124


def test_the_first_stage_of_mtc_trains_the_domain_alone():
    wanted, network, modules = make("mtc")
    given, rng = batch(seed=4), torch.Generator().manual_seed(4)
    views = _augment.weak_view(given.unlabelled, rng)
    modules["curriculum"].labels.copy_(torch.linspace(0, 1, UNLABELLED))
    labels = [1.0] * B + [row / (UNLABELLED - 1) for row in given.rows.tolist()]
    d = network.head.domain(network.penultimate(torch.cat([given.images, views])))[:, 0]
    p = 1 / (1 + torch.exp(-d))
    plain = -mean(y * torch.log(q) + (1 - y) * torch.log(1 - q) for y, q in zip(labels, p, strict=True))
    modules["curriculum"].double()
    modules["curriculum"].labels.copy_(torch.linspace(0, 1, UNLABELLED, dtype=torch.float64))
    check_gradients(wanted.loss(network, given, modules), plain, network)
    assert set(given.notes) == {"domain_loss"}
    assert network.body[1].num_batches_tracked == 2  # by the loss, and by this test


@pytest.mark.parametrize("kept", [4, 2, 0])
def test_the_second_stage_of_mtc_is_the_plain_transcription(kept):
    wanted, network, modules = make("mtc", weight=30.0, ramp=2.0, temperature=0.7, mixing=0.6, flip=False)
    curriculum = modules["curriculum"]
    given, rng = batch(seed=4, progress=2.5), torch.Generator().manual_seed(4)
    chosen = [0, 1, 2, 3][:kept]
    with torch.no_grad():
        curriculum.labels[given.rows[:kept]] = 0.9
        curriculum.threshold.fill_(0.5)
    labels = [1.0] * B + [0.9] * kept + [0.0] * (4 - kept)

    seen = torch.cat([given.images, _augment.weak_view(given.unlabelled, rng, False)])
    d = network.head.domain(network.penultimate(seen))[:, 0]
    p = 1 / (1 + torch.exp(-d))
    plain = -mean(y * torch.log(q) + (1 - y) * torch.log(1 - q) for y, q in zip(labels, p, strict=True))
    views = [_augment.weak_view(given.unlabelled[chosen], rng, False) for _ in range(2)]
    targets = [[float(y == k) for k in range(K)] for y in given.labels]
    if kept:
        with torch.no_grad():
            first, second = torch.softmax(network(torch.cat(views)), dim=1).split(kept)
        guesses = []
        for a, b in zip(first, second, strict=True):
            q = [((x + y) / 2).item() ** (1 / 0.7) for x, y in zip(a, b, strict=True)]
            guesses.append([x / sum(q) for x in q])
        targets += guesses + guesses
    inputs, targets = torch.cat([given.images, *views]), tensor(targets)
    drawn = np.random.default_rng(int(torch.randint(2**62, (), generator=rng))).beta(0.6, 0.6)
    share = max(drawn, 1 - drawn)
    others = torch.randperm(len(inputs), generator=rng)
    logits = network(share * inputs + (1 - share) * inputs[others])
    targets = share * targets + (1 - share) * targets[others]
    plain = plain + mean(
        sum(q * nll(z, k) for k, q in enumerate(row)) for z, row in zip(logits[:B], targets[:B], strict=True)
    )
    if kept:
        probabilities = torch.softmax(logits[B:], dim=1)
        squares = [(a - b) ** 2 for a, b in zip(probabilities.flatten(), targets[B:].flatten(), strict=True)]
        plain = plain + 30 * min(1, 1.5 / 2) * mean(squares)
    check_gradients(wanted.loss(network, given, modules), plain, network)
    assert given.notes["kept"] == [kept / 4]


def test_the_domain_loss_leaves_the_running_statistics_alone_in_the_second_stage():
    """With nothing unlabelled kept, the one update is that of the mixed images."""
    for progress, updates in [(0.5, 1), (2.0, 1)]:
        wanted, network, modules = make("mtc")
        modules["curriculum"].threshold.fill_(0.5)
        wanted.loss(network, batch(progress=progress), modules)
        assert network.body[1].num_batches_tracked == updates
    # Of the first stage all 10 images, of the second the 6 labelled ones, mixed.
    wanted, network, modules = make("mtc")
    modules["curriculum"].threshold.fill_(0.5)
    outlying = batch(progress=2.0, unlabelled=torch.ones(4, 3, SIZE, SIZE, dtype=torch.float64))
    wanted.loss(network, outlying, modules)
    twin = make("mtc")[1]
    twin.load_state_dict(make("mtc")[1].state_dict())
    modules["curriculum"].labels.zero_()
    wanted.loss(twin, batch(progress=2.0), modules)
    assert torch.equal(network.body[1].running_mean, twin.body[1].running_mean)


def test_the_average_is_the_recurrence():
    network = Network().double()
    average = Average(network, 0.5).double()
    expected, values = None, []
    for t in range(30):
        with torch.no_grad():
            network.head.weight.fill_(math.sin(t))
            network.body[1].running_mean.fill_(t)
        values.append(math.sin(t))
        weight = min(0.5, t / (t + 9))
        expected = values[-1] if expected is None else weight * expected + (1 - weight) * values[-1]
        average.update(network)
    last = copy.deepcopy(network)
    average.give_to(network)
    assert_close(network.head.weight, torch.full_like(network.head.weight, expected), **EXACT)
    assert 20 < network.body[1].running_mean[0] < 29
    assert torch.equal(network.body[1].weight, last.body[1].weight)  # constant all along


def test_the_average_starts_with_the_second_stage_and_is_used_in_the_end():
    wanted, network, modules = make("mtc", decay=0.9)
    average = modules["average"]
    with torch.no_grad():
        network.head.classifier.bias.fill_(7.0)
    wanted.finish(network, modules)
    assert (network.head.classifier.bias == 7).all()  # no average yet
    seen = []
    for progress in (0.0, 1.0, 2.0, 3.0):
        steps = wanted.steps(network, batch(progress=progress), modules)
        next(steps)
        with torch.no_grad():  # as an optimizer would
            network.head.classifier.weight.fill_(10 * progress)
        assert next(steps, None) is None
        seen.append(int(average.updates))
    assert seen == [0, 1, 2, 3]
    kept = wanted.finish(network, modules)
    expected = 10.0
    for t, value in [(1, 20.0), (2, 30.0)]:
        expected = t / (t + 9) * expected + 9 / (t + 9) * value
    found = network.head.classifier.weight
    assert_close(found, torch.full_like(found, expected), **EXACT)
    assert kept["domain_labels"].shape == (UNLABELLED,)


def test_the_domain_head_shows_its_linear_layer():
    head = DomainHead(D, K)
    f = torch.randn(4, D)
    assert isinstance(head.linear, nn.Linear)
    assert torch.equal(head(f), head.linear(f))
    assert head.outputs(f).shape == (4, 1)
    scores = detector("domain").score(Features(head(f), outputs=head.outputs(f)))
    assert_close(scores, 1 / (1 + torch.exp(-head.domain(f)[:, 0].double())))


def test_mtc_finds_the_outliers_among_the_unlabelled():
    """Dark images are labelled; half of the unlabelled ones are bright. Trained for a dozen epochs."""
    rng = torch.Generator().manual_seed(0)
    wanted, network, modules = make("mtc", dtype=torch.float32, epochs=12, history=3, stage_one=0.5)
    dark = 0.4 * images(12, 3).float()
    mixture = torch.cat([0.4 * images(7, 4), 0.6 + 0.4 * images(7, 5)]).float()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    notes = {}
    for epoch in range(12):
        for step, rows in enumerate(torch.randperm(14, generator=rng).split(5)):
            given = batch(
                images=dark,
                labels=torch.arange(12) % K,
                unlabelled=mixture[rows],
                rows=rows,
                progress=epoch + step / 3,
                epochs=12,
                rng=rng,
                notes=notes,
            )
            for _, loss in wanted.steps(network, given, modules):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        wanted.end_epoch(network, modules, epoch + 1)
    wanted.finish(network, modules)
    labels = modules["curriculum"].labels
    assert labels[:7].min() > labels[7:].max() + 0.2
    assert modules["curriculum"].kept(torch.arange(14)).tolist() == [True] * 7 + [False] * 7
    assert 0.3 < np.mean(notes["kept"]) < 0.7
    network.eval()
    with torch.no_grad():
        d = network.head.outputs(network.penultimate(mixture))[:, 0]
    assert d[:7].min() > d[7:].max()
