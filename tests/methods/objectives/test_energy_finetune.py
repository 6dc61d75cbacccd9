"""Energy fine-tuning: its margins."""

import pytest
import torch
from logit_objective_examples import Network, batch
from torch import nn
from worked_examples import tensor

from methods.base import Setup
from methods.objectives.energy_finetune import EnergyFinetune, hinges, margins


def test_hinges_are_zero_within_the_margins():
    energy, outlier_energy = tensor([-9.0, -5.0]), tensor([-3.0, 4.0])
    assert [h.item() for h in hinges(energy, outlier_energy, -5.0, -3.0)] == [0.0, 0.0]
    assert [h.item() for h in hinges(energy, outlier_energy, -6.0, -1.0)] == [0.5, 2.0]


def setup(network, val, outliers):
    return Setup(network, 5, 3, 4, 10, val, outliers)


def images(count, seed):
    return torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(seed)).to(
        torch.uint8
    )


class Single(Network):
    """In float32, as `Setup.logits` gives images."""

    def __init__(self):
        super().__init__()
        self.float()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.dropout(super().forward(images))


def test_margins_come_from_quantiles_of_the_first_network():
    network = Single()
    val, outliers = images(7, 0), images(11, 1)
    kept = EnergyFinetune().modules(setup(network, val, outliers))
    network.eval()
    energies = [sorted((-torch.logsumexp(network(s / 255), 1)).tolist()) for s in (val, outliers)]
    # Linear between the order statistics 1.2 of 6 and 8 of 10.
    m_in = 0.8 * energies[0][1] + 0.2 * energies[0][2]
    m_out = energies[1][8]
    if m_in >= m_out:
        m_in, m_out = (m_in + m_out) / 2 - 1, (m_in + m_out) / 2 + 1
    assert [m.item() for m in kept["margins"]()] == pytest.approx([m_in, m_out], rel=1e-6)
    state = kept["margins"].state_dict()
    assert {key: value.dtype for key, value in state.items()} == {
        "m_in": torch.float64,
        "m_out": torch.float64,
    }
    assert list(kept["margins"].parameters()) == []


def logits_of_energy(energies):
    return -tensor(energies)[:, None]  # of one class: the energy is minus its logit


def test_margins_in_order_are_the_quantiles():
    found = margins(logits_of_energy([-10, -9, -8, -7, -6, -5]), logits_of_energy([-1, -2, -3, -4, -5, -6]))
    assert found == pytest.approx((-9.0, -2.0), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_margins_out_of_order_are_around_their_mean(shift):
    found = margins(logits_of_energy([-4.0 + shift] * 3), logits_of_energy([-4.0] * 2))
    assert found == pytest.approx((-5.0 + shift / 2, -3.0 + shift / 2), rel=1e-12)


def test_given_margins_are_taken():
    kept = EnergyFinetune(m_in=-23, m_out=-5).modules(None)
    assert [m.item() for m in kept["margins"]()] == [-23.0, -5.0]


def test_energy_finetune_trains_to_the_margins_it_keeps(network):
    data = batch()
    losses = [
        EnergyFinetune(m_in=-1.5, m_out=-1.0).loss(
            network, data, EnergyFinetune(m_in=a, m_out=b).modules(None)
        )
        for a, b in ((-1.5, -1.0), (-9.0, 4.0))
    ]
    assert losses[1] > losses[0] + 1  # the margins of `modules` count, not those of the instance


@pytest.mark.parametrize(("count", "outliers"), [(3, None), (3, 0), (0, 3)])
def test_margins_need_images(network, count, outliers):
    field = "outliers" if count else "val"
    made = setup(network, images(count, 0), None if outliers is None else images(outliers, 1))
    with pytest.raises(ValueError, match=rf"setup\.{field}: energy_finetune expected at least one image"):
        EnergyFinetune().modules(made)
