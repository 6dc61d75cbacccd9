"""The confidence GAN: worked examples, plain transcriptions, and what stays put."""

import copy
import math

import pytest
import torch
from network_objective_examples import (
    INPUTS,
    SIZE,
    VALUES,
    B,
    K,
    Network,
    batch,
    check_gradients,
    images,
    make,
    mean,
    nll,
)
from torch import nn
from torch.nn import functional
from worked_examples import tensor

from methods.objective import NETWORK
from methods.objectives._frozen import statistics_frozen, weights_frozen
from methods.objectives._gan import Discriminator, Generator, discriminator_loss, generator_loss, resized
from methods.objectives.confidence_loss import confidence_loss


def test_the_gan_losses_are_the_worked_ones():
    real, fake = tensor(INPUTS["gan"]["real"]), tensor(INPUTS["gan"]["fake"])
    t1 = INPUTS["T1"]
    logits, outside = tensor(t1["Z_in"]), tensor(t1["Z_out"])
    assert discriminator_loss(real, fake).item() == pytest.approx(VALUES["gan.LD"], rel=1e-12)
    assert generator_loss(fake, outside, 0.0).item() == pytest.approx(VALUES["gan.LGadv"], rel=1e-12)
    assert generator_loss(fake, outside, 1.0).item() == pytest.approx(VALUES["gan.LG"], rel=1e-12)
    found = confidence_loss(logits, torch.tensor(t1["y"]), outside, 1.0).item()
    assert found == pytest.approx(VALUES["gan.LC"], rel=1e-12)


def test_the_gan_is_built_as_published():
    generator, discriminator = Generator(100, 64), Discriminator(64)
    shapes = [tuple(m.weight.shape) for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert shapes == [(100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 3, 4, 4)]
    shapes = [tuple(m.weight.shape) for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(128, 3, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]
    for network, norms in [(generator, 3), (discriminator, 2)]:
        kinds = [type(m) for m in network.modules()]
        assert kinds.count(nn.BatchNorm2d) == norms
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        deviation = torch.cat([w.flatten() for w in weights]).std().item()
        assert deviation == pytest.approx(0.02, rel=0.01)
    assert generator.fixed.shape == (16, 100)


def test_the_gan_steps_are_the_plain_transcription():
    wanted, network, modules = make("joint_confidence_gan", beta=0.6)
    generator, discriminator = modules["generator"], modules["discriminator"]
    given, rng = batch(seed=3), torch.Generator().manual_seed(3)
    steps = wanted.steps(network, given, modules)

    def log_sigmoid(a):
        return -torch.log(1 + torch.exp(-a))

    def kl(logits):
        p = torch.softmax(logits, dim=0)
        return sum(torch.log(1 / K / q) / K for q in p)

    def small(x):
        return functional.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True)

    large = functional.interpolate(given.images, (32, 32), mode="bilinear", antialias=True)
    noise = torch.randn(B, 4, generator=rng).double()
    name, loss = next(steps)
    assert name == "discriminator"
    fakes = generator(noise)
    plain = -mean(log_sigmoid(a) for a in discriminator(large)) - mean(
        log_sigmoid(-a) for a in discriminator(fakes.detach())
    )
    check_gradients(loss, plain, discriminator)

    name, loss = next(steps)
    assert name == "generator"
    plain = -mean(log_sigmoid(a) for a in discriminator(fakes))
    plain = plain + 0.6 * mean(kl(z) for z in network(small(fakes)))
    check_gradients(loss, plain, generator)

    name, loss = next(steps)
    assert name == NETWORK
    noise = torch.randn(B, 4, generator=rng).double()
    plain = mean(nll(z, y) for z, y in zip(network(given.images), given.labels, strict=True))
    plain = plain + 0.6 * mean(kl(z) for z in network(small(generator(noise).detach())))
    check_gradients(loss, plain, network)
    assert next(steps, None) is None


def test_each_loss_of_the_gan_gives_gradients_to_its_own_network_alone():
    wanted, network, modules = make("joint_confidence_gan")
    network.head.bias.requires_grad_(False)  # frozen before, frozen after
    owners = {NETWORK: network, **modules}
    everything = [*network.parameters(), *(p for m in modules.values() for p in m.parameters())]
    for name, loss in wanted.steps(network, batch(), modules):
        for p in everything:
            p.grad = None
        loss.backward()
        reached = {id(p) for p in everything if p.grad is not None}
        assert reached == {id(p) for p in owners[name].parameters() if p.requires_grad}
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["head.bias"]
    assert all(p.requires_grad for m in modules.values() for p in m.parameters())


def test_fakes_leave_the_running_statistics_alone():
    wanted, network, modules = make("joint_confidence_gan")
    alone = copy.deepcopy(network)
    alone(batch().images)
    for _ in wanted.steps(network, batch(), modules):
        pass
    expected = alone.state_dict()
    assert expected["body.1.num_batches_tracked"] == 1
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def test_frozen_statistics_normalise_as_before():
    norm, x = nn.BatchNorm1d(3, momentum=None), torch.randn(5, 3)
    for training in (True, False):
        norm.train(training)
        before = copy.deepcopy(norm.state_dict())
        with statistics_frozen([norm]):
            frozen = norm(x)
        assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
        assert torch.equal(frozen, norm(x))


def test_what_is_frozen_thaws_after_an_error():
    network = Network()
    network.head.weight.requires_grad_(False)
    with (
        pytest.raises(ZeroDivisionError),
        weights_frozen(network.modules()),
        statistics_frozen(network.modules()),
    ):
        1 / 0  # noqa: B018
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["head.weight"]
    assert network.body[1].track_running_stats


@pytest.mark.parametrize(("logit", "share"), [(4.0, 1.0), (3.5, 0.0)])  # max p is 0.965 and 0.943
def test_the_gan_notes_its_health(logit, share):
    wanted, network, modules = make("joint_confidence_gan")
    with torch.no_grad():  # the same for every image
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.0, logit, 0.0]))
        modules["discriminator"].layers[-1].weight.zero_()
        modules["discriminator"].layers[-1].bias.fill_(1.0)
    given = batch()
    for _ in wanted.steps(network, given, modules):
        pass
    assert given.notes["confidence_on_fakes"] == [pytest.approx(math.exp(logit) / (math.exp(logit) + 2))]
    assert given.notes["confident_fakes"] == [share]
    assert given.notes["discriminator_accuracy"] == [0.5]  # all taken for real


def test_samples_are_kept_of_the_same_noise():
    wanted, network, modules = make("joint_confidence_gan", dtype=torch.float32)
    before = copy.deepcopy(modules["generator"].state_dict())
    samples = wanted.finish(network, modules)["samples"]
    assert samples.dtype == torch.uint8
    assert samples.shape == (16, 3, 32, 32)
    assert len(samples.unique()) > 5
    assert torch.equal(wanted.finish(network, modules)["samples"], samples)
    assert all(torch.equal(v, before[k]) for k, v in modules["generator"].state_dict().items())
    with torch.no_grad():
        modules["generator"].fixed.neg_()
    assert not torch.equal(wanted.finish(network, modules)["samples"], samples)


def test_the_optimizers_of_the_gan_are_those_of_its_modules():
    wanted, _, modules = make("joint_confidence_gan", lr=0.01)
    assert set(wanted.optimizers()) == set(modules)
    for optimizer in wanted.optimizers().values():
        assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adam", 0.01, 0.0)
        assert optimizer.options == {"betas": (0.5, 0.999)}


@pytest.mark.parametrize("size", [28, 32, 50])
def test_a_gan_of_32_pixels_fits_any_classifier(size):
    wanted, network, modules = make("joint_confidence_gan")
    losses = [loss for _, loss in wanted.steps(network, batch(images=images(B, 1, size)), modules)]
    assert all(torch.isfinite(loss) for loss in losses)
    assert resized(images(2, size=32), 32, 32).shape == (2, 3, 32, 32)


def test_the_gan_learns_to_be_unsure_of_fakes():
    """The parts of Lee et al.'s loss pull where they should: a few steps on one batch lower all of it."""
    wanted, network, modules = make("joint_confidence_gan", dtype=torch.float32, beta=2.0, width=2)
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([0.0, 4.0, 0.0]))
    optimizers = {
        NETWORK: torch.optim.Adam(network.parameters(), 0.05),
        **{name: torch.optim.Adam(m.parameters(), 0.002, (0.5, 0.999)) for name, m in modules.items()},
    }
    rng, confidence = torch.Generator().manual_seed(0), []
    for _ in range(60):
        given = batch(images=images(B, 1).float(), rng=rng)
        for name, loss in wanted.steps(network, given, modules):
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
        confidence += given.notes["confidence_on_fakes"]
    assert confidence[0] > 0.9
    assert confidence[-1] < 0.65  # midway to 1/3, as unsure as one can be
