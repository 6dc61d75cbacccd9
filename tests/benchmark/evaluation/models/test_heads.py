"""The final linear layer, by what it computes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmark.evaluation.models.classifier import subject_of
from benchmark.evaluation.models.heads import tolerance_of

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Custom(nn.Module):
    """A body, and a forward that the test gives."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3)
        for name, part in parts.items():
            self.add_module(name, part)
        self._how = forward

    def forward(self, x):
        return self._how(self, torch.relu(self.body(x)))


CASES = {
    "a convolution of 1×1, then pooled": (
        lambda: Custom(lambda m, x: m.conv(x).mean((2, 3)), conv=nn.Conv2d(6, 5, 1)),
        "conv", "averaged over positions",
    ),
    "pooled, then a convolution of 1×1": (
        lambda: Custom(lambda m, x: m.conv(x.mean((2, 3), keepdim=True)).flatten(1), conv=nn.Conv2d(6, 5, 1)),
        "conv", "averaged over positions",
    ),
    "of every token, then averaged": (
        lambda: Custom(lambda m, x: m.out(x.flatten(2).mT).mean(1), out=nn.Linear(6, 5)),
        "out", "averaged over tokens",
    ),
    "of every token, of which the first counts": (
        lambda: Custom(lambda m, x: m.out(x.flatten(2).mT)[:, 0], out=nn.Linear(6, 5)),
        "out", "of the first token",
    ),
    "the second call of a shared layer": (
        lambda: Custom(lambda m, x: m.out(torch.sin(m.out(x.mean((2, 3))))), out=nn.Linear(6, 6)), "out", "",
    ),
    "of two heads that which counts": (
        lambda: Custom(
            lambda m, x: (m.aux(x.mean((2, 3))), m.main(x.amax((2, 3))))[1],
            main=nn.Linear(6, 5), aux=nn.Linear(6, 5),
        ), "main", "",
    ),
    "without a bias": (
        lambda: Custom(lambda m, x: m.out(x.mean((2, 3))), out=nn.Linear(6, 5, bias=False)), "out", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_and_its_input_gives_the_logits(name):
    make, layer, pooling = CASES[name]
    torch.manual_seed(0)
    model = make().eval()
    subject = subject_of(model, probe=X)
    assert subject.card["head"]["layer"] == layer
    assert subject.card["head"].get("pooling", "") == pooling
    found = subject.features(X, ())
    with torch.no_grad():
        torch.testing.assert_close(found.logits, model(X))
    recomputed = functional.linear(found.penultimate, subject.head.weight, subject.head.bias)
    torch.testing.assert_close(recomputed, found.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: torch.relu(z),
        lambda z: z * 1.1,
        lambda z: z + 0.05,
        lambda z: z.softmax(1),
        lambda z: z.log_softmax(1),
        lambda z: z.flip(1),
    ],
)
def test_what_is_done_to_the_logits_after_it_is_noticed(change):
    torch.manual_seed(0)
    model = Custom(lambda m, x: change(m.out(x.mean((2, 3)))), out=nn.Linear(6, 5)).eval()
    subject = subject_of(model, probe=X)
    assert not subject.head.is_linear
    assert "not the output of a linear layer" in subject.head.reason


def test_the_tolerance_is_of_the_type():
    assert tolerance_of(torch.float32) == 1e-3
    assert tolerance_of(torch.bfloat16) == 4 * 2**-7
