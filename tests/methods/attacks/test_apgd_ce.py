"""Auto-PGD: its worked path, and paper arithmetic."""

import torch
from attack_examples import VALUES, ZERO, seeded
from torch.testing import assert_close
from worked_examples import EXACT

from methods.attacks._apgd import apgd, checkpoints, last, random_start


def test_the_checkpoints_of_auto_pgd():
    assert checkpoints(100) == VALUES["apgd.cp100"]
    assert checkpoints(20) == VALUES["apgd.cp20"]


class Parabola:
    """One pixel, the loss -(x - top)²; a network that never errs. It keeps what it is asked."""

    def __init__(self, top=0.52):
        self.top, self.seen = top, []

    def __call__(self, x):
        self.seen.append(x.detach().flatten().item())
        return torch.cat([x.flatten(1), torch.full_like(x.flatten(1), -10)], dim=1)

    def loss(self, logits, labels):
        return -((logits[:, 0] - self.top) ** 2)

    def climb(self, epsilon, steps):
        start = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
        return last(apgd(self, start, ZERO[:1], self.loss, epsilon, steps, start)).item()


def test_the_worked_path_of_auto_pgd():
    toy = Parabola()
    toy.climb(8 / 255, 100)
    path = torch.tensor(VALUES["apgd.toy"], dtype=torch.float64)
    seen = torch.tensor(toy.seen[1 : 1 + len(path)], dtype=torch.float64)
    assert_close(seen, path[:, 0], **EXACT)
    assert_close(-((seen - 0.52) ** 2), path[:, 1], **EXACT)


def test_auto_pgd_halves_its_step_and_goes_on_from_the_best():
    """20 steps look after 4, 7, 9, …; on paper: the loss rises in 2 of the first 4 steps, so it halves."""
    toy = Parabola()
    toy.climb(8 / 255, 20)
    step, best = 16 / 255, 0.5117647058823530  # the third point, of loss -6.8e-5
    previous = toy.seen[3]
    there = min(best + step / 2, 0.5 + 8 / 255)
    expected = min(best + 0.75 * (there - best) + 0.25 * (best - previous), 0.5 + 8 / 255)
    assert_close(toy.seen[5], expected, **EXACT)


def test_auto_pgd_halves_its_step_where_the_best_stands_still_but_not_twice_in_a_row():
    """The first step is the best; then the loss rises always and never so far. 100 steps: 22, 41, 57, …

    At 22 the best is new since the start, and 21 of 22 steps rose: no halving. At 41 it is not, at 57 the
    step was halved just before. The slope is down but at the start, so that points lie at .2 otherwise.
    """
    toy = Parabola()
    calls = []

    def loss(logits, labels):
        step = len(calls)
        calls.append(step)
        return {0: 0.0, 1: 1000.0}.get(step, step) + (-1e-6 if step else 1e-6) * logits[:, 0]

    start = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    last(apgd(toy, start, ZERO[:1], loss, 0.3, 100, start))
    seen = torch.tensor(toy.seen, dtype=torch.float64)
    assert_close(seen[[1, 3, 22, 23, 41]], torch.tensor([0.8, 0.2, 0.2, 0.2, 0.2], dtype=torch.float64))
    # From .8 by a step of .3 down, and a quarter of what lies between .8 and the point before.
    assert_close(seen[42].item(), 0.8 - 0.75 * 0.3 + 0.25 * 0.6, **EXACT)
    assert_close(seen[[57, 58]], torch.tensor([0.2, 0.2], dtype=torch.float64))


def test_auto_pgd_comes_close_where_steps_of_one_size_cannot():
    toy = Parabola()
    assert_close(toy.climb(8 / 255, 100), 0.52, rtol=0, atol=1e-4)


def test_auto_pgd_returns_the_last_point_of_an_error_even_where_another_has_a_larger_loss():
    def network(x):  # errs between .505 and .515 alone
        odd = (x - 0.51).abs() - 0.005
        return torch.cat([odd.flatten(1), torch.zeros_like(x.flatten(1))], dim=1)

    start = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    heights = []

    def loss(logits, labels):  # grows without end, whatever the logits; errors are passed on the way
        heights.append(0)
        return logits[:, 0]

    points = list(apgd(network, start, ZERO[:1], loss, 0.3, 40, start + 0.008))
    wrong = [network(p)[0, 0].item() < 0 for p in points]
    assert wrong[-1]
    assert loss(network(points[-1]), None) < loss(network(start + 0.3), None)


def test_auto_pgd_starts_on_the_surface_of_the_ball():
    images = torch.full((5, 3, 4, 4), 0.5, dtype=torch.float64)
    offset = (random_start(images, 0.1, seeded()) - images).abs().flatten(1)
    assert_close(offset.amax(dim=1), torch.full((5,), 0.1).double())
    assert (offset.mean(dim=1) < 0.08).all()
    assert ((random_start(images, 0.1, seeded()) - images).flatten(1).amin(dim=1) < 0).all()
