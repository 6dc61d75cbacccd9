"""The attack on the detector: ID images look like outliers and outliers like ID, if there is a gradient.

The network is one linear layer on the mean colour of an image; the numbers are arithmetic on paper.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from benchmark.attacks import BrokenAttack, ImageScore, attack_detector
from benchmark.attacks import detector as module
from benchmark.attacks.batches import join
from benchmark.attacks.detector import attack_scores
from benchmark.conformance.pretended import pretended
from methods.base import Features, Head, NotApplicable
from methods.registry import detector

W = torch.tensor([[4.0, 0.0, -1.0], [0.0, 4.0, -1.0], [-4.0, -4.0, 0.0]], dtype=torch.float64)
B = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)
HEAD = Head(W, B)
FRIENDLY = {  # which have a gradient, and hyper-parameters for a world of three features
    "msp": {}, "max_logit": {}, "energy": {}, "entropy": {}, "gen": {}, "mahalanobis": {}, "knn": {"k": 3},
    "react": {}, "vim": {"dim": 2}, "gradnorm": {}, "odin": {"epsilon": 0.01, "temperature": 2.0},
}  # fmt: skip


def network(images):
    h = images.mean(dim=(2, 3)).double()
    return Features(h @ W.T + B, h, stages=[h])


def images(colours, n, seed):
    """Images of noise around colours (M, 3), n of each."""
    means = torch.tensor(colours, dtype=torch.float64).repeat(n, 1)[:, :, None, None]
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(len(means), 3, 4, 4, generator=rng, dtype=torch.float64) - 0.5
    shift = torch.rand(len(means), 3, 1, 1, generator=rng, dtype=torch.float64) - 0.5
    return (means + 0.1 * noise + 0.15 * shift).clamp(0, 1)


ID_COLOURS = [[0.7, 0.2, 0.3], [0.2, 0.7, 0.3], [0.1, 0.1, 0.3]]
ID, OOD = images(ID_COLOURS, 10, 1), images([[0.45, 0.4, 0.8]], 30, 2)


def fitted(name, **hyperparameters):
    parts = []
    for seed in (3, 4):
        found = network(images(ID_COLOURS, 30, seed))
        parts.append(found.including(labels=torch.arange(3).repeat(30)))
    return detector(name, **hyperparameters).fit(*parts, HEAD, torch.Generator().manual_seed(0))


def auroc(id_scores, ood_scores):
    above = (id_scores[:, None] > ood_scores).double() + 0.5 * (id_scores[:, None] == ood_scores)
    return above.mean().item()


@pytest.mark.parametrize("name", FRIENDLY)
def test_l20_the_attack_runs_where_features_are(name):
    """Of a detector fitted on a device, images and network there; scores come to the CPU."""
    parts = [network(images(ID_COLOURS, 30, seed)) for seed in (3, 4)]
    parts = [part.including(labels=torch.arange(3).repeat(30)) for part in parts]
    expected = attack_detector(ImageScore(fitted(name, **FRIENDLY[name]), network), ID, OOD, seed=0)
    with pretended() as device:
        w, b = W.to(device), B.to(device)

        def there(x):
            h = x.mean(dim=(2, 3)).double()
            return Features(h @ w.T + b, h, stages=[h])

        learnt = detector(name, **FRIENDLY[name]).fit(
            *(part.on(device) for part in parts), HEAD, torch.Generator().manual_seed(0)
        )
        found = attack_detector(ImageScore(learnt, there), ID.to(device), OOD.to(device), seed=0)
    assert_close(found.ood_attacked, expected.ood_attacked, rtol=1e-9, atol=1e-9)
    assert_close(found.id_attacked, expected.id_attacked, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FRIENDLY)
def test_id_falls_and_ood_rises(name):
    score = ImageScore(fitted(name, **FRIENDLY[name]), network)
    found = attack_detector(score, ID, OOD, seed=0, epsilon=0.2, step_size=0.04)
    assert found.id_attacked.mean() < found.id_clean.mean()
    assert found.ood_attacked.mean() > found.ood_clean.mean()
    before, after = auroc(found.id_clean, found.ood_clean), auroc(found.id_attacked, found.ood_attacked)
    assert after < before
    assert found.without_gradient == 0
    for scores, count in zip(
        (found.id_clean, found.id_attacked, found.ood_clean, found.ood_attacked),
        (30, 30, 30, 30),
        strict=True,
    ):
        assert scores.shape == (count,)
        assert scores.dtype == torch.float64


@pytest.mark.parametrize("name", FRIENDLY)
def test_clean_scores_are_the_detectors_own(name):
    chosen = fitted(name, **FRIENDLY[name])
    found = attack_detector(ImageScore(chosen, network), ID, OOD, seed=0, steps=1)
    expected = chosen.score_images(network, ID) if name == "odin" else chosen.score(network(ID))
    assert_close(found.id_clean, expected, rtol=1e-12, atol=1e-12)


def light(images):
    """The mean pixel: every pixel's gradient is the same and positive."""
    return images.mean(dim=(1, 2, 3))


def test_a_score_that_is_the_mean_pixel_moves_by_epsilon():
    grey = torch.full((3, 3, 4, 4), 0.5, dtype=torch.float64)
    bright = torch.full((2, 3, 4, 4), 0.98, dtype=torch.float64)
    found = attack_detector(light, grey, bright, seed=0)
    assert_close(found.id_attacked, torch.full((3,), 0.5 - 8 / 255, dtype=torch.float64), rtol=1e-12, atol=0)
    assert_close(found.ood_attacked, torch.ones(2, dtype=torch.float64), rtol=1e-12, atol=0)  # cut to [0, 1]
    short = attack_detector(light, grey, bright, seed=0, steps=1, step_size=0.01, random_start=False)
    assert_close(short.id_attacked, torch.full((3,), 0.49, dtype=torch.float64), rtol=1e-12, atol=0)
    assert_close(short.ood_attacked, torch.full((2,), 0.99, dtype=torch.float64), rtol=1e-12, atol=0)
    still = attack_detector(light, grey, bright, seed=0, epsilon=0.0)
    assert torch.equal(still.id_attacked, still.id_clean)
    assert torch.equal(still.ood_attacked, still.ood_clean)


def test_the_seed_decides():
    score = ImageScore(fitted("energy"), network)

    def run(seed, **more):
        return attack_detector(score, ID, OOD, seed, steps=1, step_size=0.001, **more)

    first, again, other = run(0), run(0), run(1)
    assert torch.equal(first.id_attacked, again.id_attacked)
    assert torch.equal(first.ood_attacked, again.ood_attacked)
    assert not torch.equal(first.id_attacked, other.id_attacked)
    # ID images have the same starts whatever the OOD images are.
    alone = attack_detector(score, ID, OOD[:3], 0, steps=1, step_size=0.001)
    assert torch.equal(alone.id_attacked, first.id_attacked)
    still = run(0, random_start=False), run(1, random_start=False)
    assert torch.equal(still[0].id_attacked, still[1].id_attacked)


def test_images_may_be_attacked_in_several_goes(monkeypatch):
    monkeypatch.setattr(module, "at_once", lambda images: 4)
    score = ImageScore(fitted("energy"), network)
    whole = attack_scores(score, ID, 0, "id", steps=2)
    parts = [
        attack_scores(score, ID[r], 0, "id", steps=2, first=r.start) for r in (slice(0, 8), slice(8, 30))
    ]
    found = join(parts)
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert not torch.equal(attack_scores(score, ID[8:], 0, "id", steps=2)["attacked"], whole["attacked"][8:])


def test_the_step_of_a_gradient_detector_is_a_constant():
    """Its direction has no part in the gradient: that of the score at the stepped images."""
    chosen = fitted("odin", epsilon=0.02, temperature=2.0)
    score = ImageScore(chosen, network)
    x = ID.clone().requires_grad_()
    (found,) = torch.autograd.grad(score(x).sum(), x)
    stepped = (ID - 0.02 * chosen.direction(network, ID)).requires_grad_()
    (expected,) = torch.autograd.grad(chosen.raw_score(network(stepped)).sum(), stepped)
    assert_close(found, expected, rtol=1e-12, atol=1e-15)
    assert_close(score(ID), chosen.score_images(network, ID), rtol=1e-12, atol=0)


def test_a_score_without_a_gradient_is_not_applicable():
    for blind in (lambda x: light(x).detach(), lambda x: light(x.detach())):
        with pytest.raises(NotApplicable, match="does not depend differentiably on the image"):
            attack_detector(blind, ID, OOD, seed=0)
    with pytest.raises(NotApplicable, match="gradient of the score is zero or not finite for every"):
        attack_detector(lambda x: (light(x) * 9).round() + 0 * light(x), ID, OOD, seed=0)
    # The root of zero has no slope: the scores are fine and their gradient is NaN, whose sign is 0.
    with pytest.raises(NotApplicable, match="gradient of the score is zero or not finite for every"):
        attack_detector(lambda x: light(x) + (0 * light(x)).sqrt(), ID, OOD, seed=0)
    # One part with a gradient is enough: a saturated score is no failure.
    found = attack_detector(lambda x: light(x).clamp(max=0.1), ID, 0.1 * OOD, seed=0)
    assert torch.equal(found.id_clean, torch.full((30,), 0.1, dtype=torch.float64))
    assert found.without_gradient == 0.5


def test_other_errors_of_a_score_are_told_as_they_are():
    def odd(images):
        raise ValueError("of another kind")

    with pytest.raises(ValueError, match="of another kind"):
        attack_detector(odd, ID, OOD, seed=0)


def test_a_detector_of_several_networks_is_not_applicable():
    with pytest.raises(NotApplicable, match="several networks"):
        ImageScore(detector("ensemble"), network)


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(BrokenAttack, match="detector_pgd: 30 of 30 scores of id images are NaN or infinite"):
        attack_detector(lambda x: light(x) * math.inf, ID, OOD, seed=0)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"epsilon": 1.1}, "epsilon: expected"), ({"epsilon": math.nan}, "epsilon: expected"),
        ({"epsilon": -0.1}, "epsilon: expected"), ({"step_size": 0.0}, "step_size: expected"),
        ({"step_size": math.nan}, "step_size: expected"), ({"steps": 0}, "steps: expected at least 1"),
        ({"id_images": ID[:0]}, "id_images: expected at least one"),
        ({"ood_images": OOD[:0]}, "ood_images: expected at least one"),
        ({"ood_images": 2 * OOD}, r"ood_images: expected pixels in \[0, 1\]"),
        ({"id_images": ID - 1}, r"id_images: expected pixels in \[0, 1\]"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(more, match):
    with pytest.raises(ValueError, match=match):
        attack_detector(**{"score": light, "id_images": ID, "ood_images": OOD, "seed": 0, **more})
