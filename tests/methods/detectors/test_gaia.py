"""GAIA against automatic differentiation of a small network, and paper arithmetic."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors.gaia import GAIA
from methods.registry import detector


class Block(nn.Module):
    """A residual block that ends in a rectifier."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        self.short = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x):
        self.before = self.norm(self.conv(x))
        return torch.relu(self.before + self.short(x))


class Small(nn.Module):
    """Two stages, their average, and a linear head."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([Block(3, 8, 1), Block(8, 12, 2)])
        self.fc = nn.Linear(12, 5)

    def forward(self, images):
        maps = [self.stages[0](images)]
        maps.append(self.stages[1](maps[0]))
        return maps, maps[-1].mean(dim=(2, 3))

    def features(self, images):
        maps, h = self(images)
        return Features(self.fc(h), h, maps=maps)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = Small().double().eval()
    for stage in made.stages:
        stage.norm.running_mean.normal_()
        stage.norm.running_var.uniform_(0.5, 2)
    return made


def images(n, seed=0):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores_of(network, variant, given):
    head = Head(network.fc.weight, network.fc.bias)
    return GAIA(variant).fit(network.features(images(20)), head=head).score(network.features(given))


def test_gaia_z_is_that_of_the_gradients(network):
    given = images(7, seed=1)
    z = network.fc(network(given)[1])
    inner = torch.autograd.grad(z.amax(dim=1).sum(), [stage.before for stage in network.stages])
    shares = torch.cat([(g != 0).double().mean(dim=(2, 3)) for g in inner], dim=1)
    assert 0.1 < shares.mean() < 0.9
    assert_close(scores_of(network, "z", given), -shares.square().mean(dim=1), **EXACT)


def test_gaia_a_is_that_of_the_gradients(network):
    given = images(7, seed=1)
    maps, h = network(given)
    log_p = torch.log_softmax(network.fc(h), dim=1)
    (output,) = torch.autograd.grad(log_p.sum(), maps[-1], retain_graph=True)
    (inner,) = torch.autograd.grad(h.sum(), network.stages[-1].before)
    outer = output.mean(dim=(2, 3)).abs().mean(dim=1).sqrt()
    expected = -(inner.mean(dim=(2, 3)).abs() / outer[:, None]).square().mean(dim=1)
    assert_close(scores_of(network, "a", given), expected, **EXACT)


# One stage of two channels with 2 × 2 positions; channel 0 has half of them, channel 1 all or one.
MAPS = tensor(
    [
        [[[1.0, 0.0], [0.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]],
        [[[1.0, 0.0], [0.0, 3.0]], [[4.0, 0.0], [0.0, 0.0]]],
        [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
    ]
)
HEAD = Head(tensor([[1.0, 0.0], [0.0, 1.0]]))


def of(maps, head=HEAD):
    h = maps.mean(dim=(2, 3))
    return Features(h @ head.weight.T + head.bias, h, maps=[maps])


def test_gaia_z_by_hand():
    scores = GAIA("z").fit(of(MAPS), head=HEAD).score(of(MAPS))
    # Shares (1/2, 1), (1/2, 1/4), (0, 0): means of their squares.
    assert_close(scores, tensor([-1.25 / 2, -0.3125 / 2, 0.0]), **EXACT)


def test_gaia_z_averages_over_the_channels_of_all_stages():
    first = torch.ones(3, 6, 1, 1).double()
    given = of(MAPS).including(maps=[first, MAPS])
    scores = GAIA("z").fit(given, head=HEAD).score(given)
    assert_close(scores, -(6 + tensor([1.25, 0.3125, 0.0])) / 8, **EXACT)


def test_gaia_a_by_hand():
    # Both images have h = (1, 1), so p is uniform, unless the bias says otherwise: p = (3/4, 1/4).
    head = Head(HEAD.weight, tensor([math.log(3), 0.0]))
    scores = GAIA("a").fit(of(MAPS, head), head=head).score(of(MAPS[:2], head))
    # 1 - 2 p = (-1/2, 1/2), whose mean size is 1/2; four positions.
    assert_close(scores, tensor([-0.625 / 2, -0.15625 / 2]), **EXACT)


def test_gaia_a_of_the_uniform_prediction_is_low_and_finite():
    scores = GAIA("a").fit(of(MAPS), head=HEAD).score(of(MAPS))
    assert torch.isfinite(scores).all()
    assert scores[0] == -0.625 / 4e-12
    assert scores[2] == 0  # nothing fires


@pytest.mark.parametrize("variant", ["a", "z"])
def test_gaia_does_not_depend_on_the_arrangement_of_positions(network, variant):
    given = network.features(images(5, seed=2))
    flipped = given.including(maps=[stage.flip(2) for stage in given.maps])
    fitted = GAIA(variant).fit(given, head=Head(network.fc.weight, network.fc.bias))
    assert_close(fitted.score(flipped), fitted.score(given), **EXACT)


def test_gaia_z_does_not_depend_on_how_strongly_channels_fire():
    fitted = GAIA("z").fit(of(MAPS), head=HEAD)
    assert torch.equal(fitted.score(of(MAPS * 1e-30)), fitted.score(of(MAPS)))


@pytest.mark.parametrize("variant", ["a", "z"])
def test_gaia_of_maps_without_zeros_is_not_applicable(variant):
    with pytest.raises(NotApplicable, match="the last stage's maps have no zeros: no rectifier ends it"):
        GAIA(variant).fit(of(MAPS + 0.1), head=HEAD)


def test_gaia_of_features_that_are_of_another_map_is_not_applicable():
    with pytest.raises(NotApplicable, match="the last stage's map has 3 channels and there are 2 features"):
        GAIA().fit(of(MAPS).including(maps=[torch.zeros(3, 3, 2, 2)]), head=HEAD)
    with pytest.raises(NotApplicable, match="are not zero together: they are not its average"):
        GAIA().fit(of(MAPS).including(maps=[MAPS.flip(0)]), head=HEAD)


def test_gaia_variant_out_of_range():
    with pytest.raises(HyperparameterError, match="variant: expected one of 'a', 'z', got 'b'"):
        detector("gaia", variant="b")
    with pytest.raises(ValueError, match="variant: expected one of a, z, got 'b'"):
        GAIA("b")
