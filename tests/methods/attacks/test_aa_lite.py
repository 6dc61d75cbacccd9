"""The suite of attacks: its worst case."""

import torch
from attack_examples import made, right, seeded

from methods.attacks.aa_lite import AALite
from methods.registry import attack


def test_the_worst_case_is_at_least_as_bad_as_each_part(world):
    network, images, labels = world
    wrong = {}
    for name in ("apgd_ce", "aa_lite"):
        steps = {"steps": 8} if name == "apgd_ce" else {}
        moved = made(name, epsilon=0.05) if not steps else attack(name, epsilon=0.05, **steps)
        wrong[name] = ~right(network, moved.perturb(network, images, labels, seeded()), labels)
    assert wrong["apgd_ce"].any()
    assert not wrong["apgd_ce"].all()
    assert (wrong["aa_lite"] | ~wrong["apgd_ce"]).all()


def test_the_suite_attacks_what_resists_and_nothing_else(world):
    """Each part adds errors and touches no image that was lost before."""
    network, images, labels = world
    left = right(network, images, labels)
    before = images
    found = list(AALite(epsilon=0.05, steps=4, targets=1, queries=40).path(network, images, labels, seeded()))
    assert len(found) == 3
    for now in found:
        assert torch.equal(now[~left], before[~left])
        before, left = now, left & right(network, now, labels)


def test_a_network_that_hides_its_gradient_is_found_by_squares():
    """Logits rounded to steps: the gradient is zero, the black box needs none."""
    weight = torch.randn(3, 48, generator=seeded(), dtype=torch.float64)
    images = torch.rand(12, 3, 4, 4, generator=seeded(), dtype=torch.float64)

    def network(x):
        smooth = x.flatten(1) @ weight.T
        return (smooth * 4).round() / 4 + 0 * smooth

    labels = network(images).argmax(dim=1)
    by_pgd = attack("pgd", random_start=False, epsilon=0.1).perturb(network, images, labels)
    assert torch.equal(by_pgd, images)
    by_lite = attack("aa_lite", epsilon=0.1, steps=2, targets=1, queries=60).perturb(network, images, labels)
    assert right(network, by_lite, labels).sum() < 12
