"""Gold loss correction: noise estimated from trusted labels."""

from dataclasses import replace

import numpy as np
import torch
from label_noise_examples import INPUTS, VALUES, Network, batch_of, setup, world
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.corrections.glc import from_trusted
from methods.registry import objective

GOLD, GOLD_LABELS = tensor(INPUTS["gold"]["p"]), torch.tensor(INPUTS["gold"]["y"])


def test_means_of_the_worked_example():
    assert_close(from_trusted(GOLD, GOLD_LABELS), tensor(VALUES["glc.C"]), **EXACT)
    others = tensor([[0.2, 0.3, 0.5]]).repeat(4, 1)
    made = setup(torch.cat([others, GOLD]), torch.cat([torch.zeros(4, dtype=torch.int64), GOLD_LABELS]))
    made = replace(made, trusted=torch.arange(9) >= 4)
    assert_close(objective("glc").estimate(made), tensor(VALUES["glc.C"]), **EXACT)


def test_only_trusted_images_tell_of_the_noise():
    made = world()
    expected = np.zeros((3, 3))
    for i in range(3):
        rows = [n for n in range(300) if made.trusted[n] and made.labels[n] == i]
        expected[i] = sum(made.first[n].numpy() for n in rows) / len(rows)
    assert_close(objective("glc").estimate(made).numpy(), expected, **EXACT)


def test_classes_without_trusted_images_are_counted_and_taken_to_have_no_noise():
    glc = objective("glc")
    made = setup(torch.cat([GOLD, GOLD]), torch.cat([GOLD_LABELS, GOLD_LABELS]))
    for missing, expected in ((0, [0, 0, 0]), (1, [0, 1, 0]), (2, [0, 1, 1])):
        told = torch.arange(10) < 5
        for i, without in enumerate(expected):
            told &= ~((made.labels == i) & bool(without))
        partly = replace(made, trusted=told)
        rows = glc.estimate(partly)
        for i, without in enumerate(expected):
            row = torch.eye(3, dtype=torch.float64)[i] if without else tensor(VALUES["glc.C"])[i]
            assert_close(rows[i], row, **EXACT)
        batch = replace(batch_of(partly, rows=10), notes={})
        glc.loss(Network(), batch, glc.modules(partly))
        assert batch.notes == {"classes_without_trusted": [missing]}
