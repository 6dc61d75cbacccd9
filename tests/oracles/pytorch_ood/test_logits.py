"""Detectors of logits, held to pytorch-ood's."""

import math

import pytest
import torch
from pytorch_ood_world import CLASSES, FLOOR, equal, ood
from torch import nn

from methods.base import Features
from methods.registry import detector


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_energy(world, temperature):
    theirs = ood.EnergyBased(None, t=temperature).predict_logits(world.queries.logits)
    equal(theirs, world.score("energy", temperature=temperature))


def test_max_logit_and_msp(world):
    equal(ood.MaxLogit(None).predict_logits(world.queries.logits), world.score("max_logit"))
    equal(ood.MaxSoftmax(None).predict_logits(world.queries.logits), world.score("msp"))


def test_entropy(world):
    equal(ood.Entropy(None).predict_logits(world.queries.logits), world.score("entropy"))


def confident(world):
    logits = 10 * world.queries.logits
    assert (logits.softmax(dim=1) < FLOOR).double().mean() > 0.1
    return logits


def test_entropy_of_confident_logits_differs_by_their_floor(world):
    logits = confident(world)
    theirs = ood.Entropy(None).predict_logits(logits)
    p = logits.softmax(dim=1)
    raised = torch.where(p < FLOOR, FLOOR * math.log(FLOOR) - torch.special.xlogy(p, p), 0.0).sum(dim=1)
    ours = detector("entropy").score(Features(logits))
    assert ((-theirs - ours).abs() > 1e-7).any()
    equal(theirs, ours + raised)


@pytest.mark.parametrize(("gamma", "top"), [(0.1, 100), (0.1, 4), (0.5, 7)])
def test_gen_is_scaled_by_the_number_of_terms(world, gamma, top):
    theirs = ood.GEN(None, gamma=gamma, M=top).predict_logits(world.queries.logits)
    equal(theirs * min(top, CLASSES), world.score("gen", gamma=gamma, top=top))


def test_gen_of_confident_logits_differs_by_their_floor(world):
    logits = confident(world)
    theirs = CLASSES * ood.GEN(None, gamma=0.1).predict_logits(logits)
    ours = detector("gen").score(Features(logits))
    p = logits.softmax(dim=1)
    q = (logits[:, None, :] + torch.diag(torch.full((CLASSES,), -math.inf))).logsumexp(dim=2)
    q = (q - logits.logsumexp(dim=1, keepdim=True)).exp()  # 1 - p, without rounding

    def terms(p, q):
        return (p * q).pow(0.1).sum(dim=1)

    floored = p.clamp(FLOOR, 1 - FLOOR)
    assert ((theirs + ours).abs() > 1e-2).any()
    equal(theirs, ours + terms(p, q) - terms(floored, 1 - floored), rtol=1e-8, atol=1e-8)


def test_klm(world):
    theirs = ood.KLMatching(None).fit_logits(world.val.logits, world.val.labels)
    equal(theirs.predict_logits(world.queries.logits), world.score("klm"))


def test_klm_of_a_class_that_is_never_predicted(world):
    val = world.val[world.val.logits.argmax(dim=1) != 3]
    theirs = ood.KLMatching(None).fit_logits(val.logits, val.labels).predict_logits(world.queries.logits)
    assert (world.queries.logits.argmax(dim=1) == 3).any()
    equal(theirs, world.fit("klm", val=val).score(world.queries.ours))


def test_temperature_scaling(world):
    ours = world.fit("temperature_scaling")
    theirs = ood.TemperatureScaling(None).fit_logits(world.val.logits, world.val.labels)

    def loss(t):
        return nn.functional.cross_entropy(world.val.logits / t, world.val.labels).item()

    assert not ours.at_bound
    assert abs(ours.temperature - 1) > 0.01
    assert loss(ours.temperature) <= loss(theirs.t.item())  # their 50 short steps do not quite get there
    for start in (0.9, 1.0, 1.1):
        theirs.t.data.fill_(start * ours.temperature)
        theirs.fit_logits(world.val.logits, world.val.labels)  # goes on from where it is
        assert abs(theirs.t.item() / ours.temperature - 1) <= max(0.95 * abs(start - 1), 1e-6)
    theirs.t.data.fill_(ours.temperature)
    equal(theirs.predict_logits(world.queries.logits), ours.score(world.queries.ours))


@pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning")
@pytest.mark.parametrize(("alpha", "euclidean", "tail"), [(10, 1 / 200, 20), (3, 1.0, 12)])
def test_openmax(world, alpha, euclidean, tail):
    from pytorch_ood.detector.openmax.numpy import OpenMax
    from scipy.stats import exponweib

    ours = world.fit("openmax", alpha=alpha, euclidean=euclidean, tail=tail)
    theirs = OpenMax(tailsize=tail, alpha=alpha, euclid_weight=euclidean)
    theirs.cos_weight = 1.0  # theirs is 1 - w: the same up to the unit of the distance, which 10⁴ is added to
    right = world.train.logits.argmax(dim=1) == world.train.labels
    theirs.fit(world.train.logits[right].numpy(), world.train.labels[right].numpy())
    for k, fitted in theirs.distributions.items():
        assert fitted.min_val == pytest.approx(ours.starts[k].item(), rel=1e-9)
        z = world.train.logits[right & (world.train.labels == k)].numpy()
        distances = theirs._get_dists_to_center(k, z)
        shifted = sorted(distances)[-tail:] - fitted.min_val + fitted.translation
        shape, scale = ours.shapes[k].item(), fitted.translation * math.exp(ours.log_scales[k].item())
        # Theirs is a general optimiser's: never likelier than ours, and nearly as likely.
        likelihoods = [
            exponweib.logpdf(shifted, 1, c, loc=0, scale=s).sum()
            for c, s in ((shape, scale), (fitted.c, fitted.scale))
        ]
        assert likelihoods[1] <= likelihoods[0] + 1e-6
        fitted.c, fitted.scale = shape, scale
    unknown = torch.from_numpy(theirs.predict(world.queries.logits.numpy())[:, 0])
    equal(torch.logit(unknown), ours.score(world.queries.ours), rtol=1e-6, atol=1e-7)
    # Their distance of a class that no image of the batch is predicted as is 0; the last one has all classes.
    assert len(world.queries.logits.argmax(dim=1).unique()) == CLASSES
