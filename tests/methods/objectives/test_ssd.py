"""SSD: worked examples and a plain transcription."""

import pytest
import torch
from network_objective_examples import INPUTS, VALUES, B, batch, check_gradients, gradients, make, mean, nll
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.objectives import _augment
from methods.objectives.ssd import contrastive_loss


def test_the_contrastive_losses_are_the_worked_ones():
    views, temperature = tensor(INPUTS["ssd"]["views"]), INPUTS["ssd"]["temperature"]
    alone = contrastive_loss(views, torch.tensor([0, 1, 0, 1]), temperature)
    assert_close(alone, tensor(VALUES["ntx.each"]), **EXACT)
    assert alone.mean().item() == pytest.approx(VALUES["ntx"], rel=1e-12)
    assert (alone.mean() * temperature / 0.07).item() == pytest.approx(VALUES["ntx.scaled"], rel=1e-12)
    together = contrastive_loss(views, torch.zeros(4), temperature)
    assert together.mean().item() == pytest.approx(VALUES["supcon.same"], rel=1e-12)


def test_an_anchor_that_is_alone_has_no_loss():
    loss = contrastive_loss(tensor(INPUTS["ssd"]["views"]), torch.tensor([0, 0, 0, 1]), 0.5)
    assert loss[3] == 0
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_ssd_is_the_plain_transcription(labels, scaled):
    wanted, network, modules = make(
        "ssd", labels=labels, temperature=0.4, base_temperature_factor=scaled, projection=7
    )
    projection, rng = modules["projection"], torch.Generator().manual_seed(5)
    given = batch(seed=5)
    views = torch.cat([_augment.contrastive_view(given.images, rng) for _ in range(2)])
    f = network.penultimate(views)
    v = [p / torch.sqrt(sum(p**2)) for p in projection(f)]
    both = [*given.labels.tolist(), *given.labels.tolist()]
    losses = []
    for i in range(2 * B):
        others = [a for a in range(2 * B) if a != i]
        positive = [a for a in others if (both[a] == both[i] if labels else a % B == i % B)]
        below = torch.log(sum(torch.exp(sum(v[i] * v[a]) / 0.4) for a in others))
        losses.append(-mean(sum(v[i] * v[j]) / 0.4 - below for j in positive))
    probe = mean(nll(network.head(row.detach()), y) for row, y in zip(f, both, strict=True))
    plain = mean(losses) * (0.4 / 0.07 if scaled else 1) + probe
    check_gradients(wanted.loss(network, given, modules), plain, network, projection)
    assert given.notes["probe_loss"] == [pytest.approx(probe.item())]


def test_the_probe_of_ssd_leaves_the_features_alone():
    wanted, network, modules = make("ssd")
    given = batch()
    wanted.loss(network, given, modules)
    with torch.no_grad():
        network.head.weight.mul_(1000)
    before = gradients(wanted.loss(network, batch(), modules), network.body)
    with torch.no_grad():
        network.head.weight.zero_()
    after = gradients(wanted.loss(network, batch(), modules), network.body)
    assert all(torch.equal(before[key], after[key]) for key in before)
