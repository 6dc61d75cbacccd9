"""Logits in whatever a model returns them."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from benchmark.errors import DataError
from benchmark.evaluation.models.answers import fitting, logits_in, looks_like

Z = torch.arange(6.0).reshape(2, 3)
Pair = namedtuple("Pair", "logits features")


@dataclass
class Answer:
    loss: object
    logits: torch.Tensor


class Bare:
    logits = Z


@pytest.mark.parametrize(
    "output",
    [
        Z,
        Z[:, :, None, None],
        (Z, torch.zeros(3)),
        [Z, None],
        {"logits": Z, "aux_logits": Z + 1},
        {"out": Z, "maps": torch.zeros(2, 3, 4, 4)},
        Pair(Z, Z + 1),
        Answer(None, Z),
        Bare(),
        (Z, torch.zeros(2, 3, dtype=torch.int64)),
    ],
)
def test_logits_are_found(output):
    assert torch.equal(logits_in(output, 2, "m"), Z)


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        ((Z, Z), r"got tuple with \[0\]: float32 \(2, 3\); \[1\]: float32 \(2, 3\); 2 tensors could be"),
        ({"a": torch.zeros(3, 3)}, r"got dict with a: float32 \(3, 3\)"),
        (torch.zeros(2), r"got Tensor with the output: float32 \(2,\)"),
        (None, "got NoneType"),
        ((), "nothing in it"),
        ({"logits": torch.zeros(2, 3, 4)}, r"logits: float32 \(2, 3, 4\)"),
        (torch.zeros(2, 1), "one number an image"),
    ],
)
def test_what_is_not_clear_is_an_error_that_says_what_was_seen(output, seen):
    with pytest.raises(DataError, match=seen):
        logits_in(output, 2, "m")


def test_probabilities_are_noticed():
    z = torch.randn(4, 3)
    assert looks_like(z) == ""
    assert "probabilities" in looks_like(z.softmax(1))
    assert "log-probabilities" in looks_like(z.log_softmax(1))


def test_a_lack_of_memory_is_not_said_to_be_the_images_fault():
    def work():
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        fitting("m", Z, work)
