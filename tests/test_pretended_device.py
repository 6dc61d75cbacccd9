"""The pretended device of conformance: it refuses what CUDA refuses, and allows what CUDA allows."""

import operator

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.conformance.pretended import DEVICE, pretended

ROWS = torch.arange(6.0).reshape(2, 3)


@pytest.fixture
def device():
    with pretended() as found:
        yield found


@pytest.mark.parametrize(
    "mix",
    [
        lambda there, here: there + here,
        lambda there, here: here.mul_(there),
        lambda there, here: there @ here.T,
        lambda there, here: torch.cat([there, here]),
        lambda there, here: torch.where(there > 1, there, here),
        lambda there, here: nn.functional.linear(there, here),
        lambda there, here: torch.equal(there, here),
        lambda there, here: here[there[0, :2].long()],
        lambda there, here: here[0, 0] + there @ here[0],
        lambda there, here: here + there[0, 0],
        lambda there, here: torch.stack([there[0, 0], here[0, 0]]),
        lambda there, here: there.gather(1, here.long().clamp(max=2)),
        lambda there, here: there.index_select(1, here[0].long()),
        lambda there, here: operator.setitem(there, here[0, :2].long(), here),
        lambda there, here: torch.add(there, there, out=here),
    ],
)
def test_tensors_of_two_devices_do_not_meet(device, mix):
    mix(ROWS.clone(), ROWS.clone().clamp(max=1))
    with pytest.raises(RuntimeError, match=r"on the same device, found lazy:0 and cpu"):
        mix(ROWS.to(device), ROWS.clone().clamp(max=1))


@pytest.mark.parametrize(
    "meet",
    [
        lambda there, here: there + here[0, 1],  # a number
        lambda there, here: torch.where(there > 1, there, here[0, 1]),
        lambda there, here: there[here[0, :2].long()],  # indices
        lambda there, here: operator.setitem(there, here[0, :2].long(), there[1].clone()) or there,
        lambda there, here: operator.setitem(there, there > 2, here[0, 1]) or there,
        lambda there, here: there.copy_(here * 2),
        lambda there, here: there + here.to(there),
        lambda there, here: there.new_tensor([[1.0, 2.0, 3.0]]) + torch.arange(3, device=there.device),
        lambda there, here: torch.tensor(here.tolist(), device=there.device) * there.new_ones(3),
    ],
)
def test_what_cuda_takes_of_the_cpu_is_taken(device, meet):
    expected = meet(ROWS.clone(), ROWS.clone())
    found = meet(ROWS.to(device), ROWS.clone())
    assert found.device == device == DEVICE
    assert torch.equal(found.cpu(), expected)


def test_numbers_are_copied_both_ways(device):
    here = torch.zeros(2, 3)
    assert here.copy_(ROWS.to(device)) is here
    assert torch.equal(here, ROWS)
    assert torch.equal((2 * ROWS.to(device)).cpu(), 2 * ROWS)


def test_numpy_sees_the_cpu_alone(device):
    there = ROWS.to(device)
    for ask in (lambda t: t.numpy(), np.asarray):
        with pytest.raises(TypeError, match="can't convert lazy:0 device type tensor to numpy"):
            ask(there)
    assert np.array_equal(there.cpu().numpy(), ROWS.numpy())
    assert there.tolist() == ROWS.tolist()
    assert f"{there[0, 1]:.2f}" == "1.00"


@pytest.mark.parametrize(
    "draw",
    [
        lambda device, rng: torch.rand(3, generator=rng, device=device),
        lambda device, rng: torch.randperm(3, generator=rng, device=device),
        lambda device, rng: torch.zeros(3, device=device).uniform_(generator=rng),
        lambda device, rng: torch.multinomial(torch.ones(3, device=device), 2, generator=rng),
    ],
)
def test_a_generator_of_the_cpu_draws_nothing_there(device, draw):
    with pytest.raises(RuntimeError, match="expected a generator of lazy:0"):
        draw(device, torch.Generator())
    draw("cpu", torch.Generator())


@pytest.mark.parametrize("inference", [False, True])
def test_a_network_computes_there(device, inference):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5), nn.LayerNorm(5)
    )
    images = torch.rand(6, 3, 8, 8)
    expected = network(images).detach()
    network.to(device)
    with torch.inference_mode(mode=inference):
        assert torch.allclose(network(images.to(device)).cpu(), expected)
        with pytest.raises(RuntimeError, match="on the same device"):
            network(images)


def test_gradients_lie_where_their_tensors_do(device):
    here = ROWS.clone().requires_grad_()
    there = (here * 2).to(device)
    there.retain_grad()
    with torch.autocast(device.type, torch.bfloat16):
        (there @ there.T).sum().backward()
    assert (there.grad.device.type, here.grad.device.type) == (device.type, "cpu")
    plain = ROWS.clone().requires_grad_()
    (plain * 2 @ (plain * 2).T).sum().backward()
    assert torch.equal(here.grad, plain.grad)


def test_it_ends_with_its_context():
    with pretended() as device:
        there = ROWS.to(device)
        assert torch.equal(there.here, ROWS)
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(3, device=device)
    assert torch.ones(3).device.type == "cpu"
