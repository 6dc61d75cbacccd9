"""FSR: worked examples, plain transcriptions, and the base that it plugs into."""

import itertools

import pytest
import torch
from adversarial_examples import (
    BASES,
    FSRS,
    HIDDEN,
    ROUNDING,
    SIZE,
    VALUES,
    B,
    C,
    K,
    batch,
    captured,
    check_gradients,
    given,
    images,
    make,
    mean,
    nll,
    plain_criterion,
)
from torch import nn
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from benchmark.plan.objectives import definitions_of
from benchmark.store.fingerprints import definition_of
from methods import families
from methods.base import Setup
from methods.objectives._adversarial import AdversarialObjective
from methods.objectives._fsr import (
    Parts,
    PositionNorm,
    SeparationNeck,
    separation_loss,
    soft_mask,
    strongest_wrong,
)
from methods.objectives.fsr import FSR
from methods.registry import objective, objectives


def pool(maps):
    return maps.flatten(2).mean(dim=2)


def test_the_masks_are_the_worked_ones():
    scores, uniform = given("mask", "scores", "uniform")
    assert_close(soft_mask(scores, 0.1), tensor(VALUES["fsr.eval_tau1e-1"]), **EXACT)
    assert_close(soft_mask(scores, 0.1, uniform), tensor(VALUES["fsr.train_tau1e-1"]), **EXACT)
    assert_close(soft_mask(scores, 1.0, uniform), tensor(VALUES["fsr.train_tau1"]), **EXACT)


def test_the_mask_is_a_gumbel_softmax_of_two():
    """In the words of the spec: the first of softmax([log r + g_0, log(1 - r) + g_1] / τ)."""
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    uniform = torch.rand(2, 3, 4, generator=rng, dtype=torch.float64)
    r, noise = torch.sigmoid(scores), -torch.log(-torch.log(uniform))
    both = torch.stack([torch.log(r) + noise[0], torch.log(1 - r) + noise[1]]) / 0.3
    assert_close(soft_mask(scores, 0.3, uniform), torch.softmax(both, dim=0)[0], **EXACT)
    assert_close(soft_mask(scores, 0.3, torch.full_like(uniform, 0.5)), soft_mask(scores, 0.3), **EXACT)


@pytest.mark.parametrize("extreme", [0.0, 1 - 2**-24])
def test_an_extreme_draw_gives_a_number(extreme):
    scores = torch.zeros(3, requires_grad=True)
    for draws in itertools.product([extreme, 0.5], repeat=2):
        found = soft_mask(scores, 0.1, torch.tensor(draws)[:, None].expand(2, 3))
        (slope,) = torch.autograd.grad(found.sum(), scores)
        assert torch.isfinite(found).all()
        assert torch.isfinite(slope).all()


def test_the_parts_are_the_worked_ones():
    maps, mask, recalibration = given("parts", "maps", "mask", "recalibration")
    parts = Parts.of(maps, mask, lambda _: recalibration)
    assert_close(parts.robust[None], tensor(VALUES["fsr.rplus"]), **EXACT)
    assert_close(parts.rest[None], tensor(VALUES["fsr.rminus"]), **EXACT)
    assert_close(parts.recalibrated[None], tensor(VALUES["fsr.rtilde"]), **EXACT)
    assert_close(parts.joined[None], tensor(VALUES["fsr.out"]), **EXACT)
    without = Parts.of(maps, mask, None)
    assert without.recalibrated is None
    assert_close(without.joined[None], tensor(VALUES["fsr.rplus"]), **EXACT)


def test_the_losses_are_the_worked_ones():
    names = ("logits", "robust", "rest", "recalibrated", "labels")
    logits, robust, rest, recalibrated, labels = given("losses", *names)
    assert strongest_wrong(logits, labels).tolist() == VALUES["fsr.yprime"]
    first = nn.functional.cross_entropy(logits, labels).item()
    separation = separation_loss(robust, rest, logits, labels).item()
    recalibration = nn.functional.cross_entropy(recalibrated, labels).item()
    assert first == pytest.approx(VALUES["fsr.Lcls"], rel=1e-12)
    assert separation == pytest.approx(VALUES["fsr.Lsep"], rel=1e-12)
    assert recalibration == pytest.approx(VALUES["fsr.Lrec"], rel=1e-12)
    assert first + separation + recalibration == pytest.approx(VALUES["fsr.total"], rel=1e-12)


def test_the_wrong_class_is_the_prediction_or_the_second():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 5
    for z, y, found in zip(logits, labels.tolist(), strongest_wrong(logits, labels).tolist(), strict=True):
        order = sorted(range(5), key=lambda k, z=z: -z[k])
        assert found == (order[0] if order[0] != y else order[1])
    tied = torch.zeros(2, 3)
    assert strongest_wrong(tied, torch.tensor([0, 1])).tolist() == [1, 0]  # the lowest index


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("recalibrate", [False, True])
@pytest.mark.parametrize("shape", [(4, C, 1, 1), (4, C, 5, 3)])
def test_the_neck_keeps_shapes_and_in_eval_mode_draws_nothing(tokens, recalibrate, shape):
    torch.manual_seed(0)
    neck = FSR(hidden=HIDDEN, recalibrate=recalibrate).neck(C, tokens=tokens)
    maps = torch.randn(shape)
    trained = neck(maps), neck(maps)
    assert trained[0].shape == shape
    assert not torch.equal(*trained)
    torch.manual_seed(5)
    seeded = neck(maps)
    torch.manual_seed(5)
    assert torch.equal(neck(maps), seeded)
    neck.eval()
    state = torch.get_rng_state()
    assert torch.equal(neck(maps), neck(maps))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(neck(maps), neck.parts(maps).joined)
    with torch.no_grad():
        assert_close(neck(maps[:1]), neck(maps)[:1])  # no image depends on another


@pytest.mark.parametrize("tokens", [False, True])
def test_the_nets_are_three_convolutions_without_biases(tokens):
    neck = SeparationNeck(512, 64, 0.1, recalibrate=True, tokens=tokens)
    norm = PositionNorm if tokens else nn.BatchNorm2d
    for net in (neck.separation, neck.recalibration):
        convolutions = [m for m in net if isinstance(m, nn.Conv2d)]
        shapes = [tuple(m.weight.shape) for m in convolutions]
        assert shapes == [(64, 512, 3, 3), (64, 64, 3, 3), (512, 64, 3, 3)]
        assert all(m.bias is None for m in convolutions)
        assert [type(m) for m in net] == [nn.Conv2d, norm, nn.ReLU, nn.Conv2d, norm, nn.ReLU, nn.Conv2d]
    assert neck.separation is not neck.recalibration


def test_a_position_is_normalised_by_itself():
    maps = torch.randn(2, 7, 3, 4, dtype=torch.float64)
    found = PositionNorm(7).double()(maps)
    for n, i, j in itertools.product(range(2), range(3), range(4)):
        one = maps[n, :, i, j]
        plain = (one - one.mean()) / torch.sqrt(one.var(unbiased=False) + 1e-5)
        assert_close(found[n, :, i, j], plain, **ROUNDING)


def test_the_mask_follows_the_mode():
    torch.manual_seed(0)
    neck = SeparationNeck(C, HIDDEN, 0.1, recalibrate=True, tokens=True).double()
    maps = torch.randn(2, C, 3, 3, dtype=torch.float64)
    scores = neck.separation(maps)
    torch.manual_seed(1)
    uniform = torch.rand(2, *scores.shape, dtype=torch.float64)
    torch.manual_seed(1)
    assert torch.equal(neck.parts(maps).mask, soft_mask(scores, 0.1, uniform))
    assert torch.equal(neck.eval().parts(maps).mask, torch.sigmoid(scores / 0.1))


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("options", FSRS, ids=str)
def test_fsr_is_the_plain_transcription(options, tokens, monkeypatch):
    wanted, network, modules = make(
        "fsr", tokens=tokens, separation=0.7, recalibration=1.3, temperature=0.8, **options
    )
    network.body[3].p = 0.0
    base, neck, aux, labels = wanted.based_on, network.neck, modules["aux"], batch().labels
    moved = captured(base, network, monkeypatch)
    torch.manual_seed(11)
    f = network.maps(moved)
    draws = torch.rand(2, *f.shape, dtype=torch.float64)
    noise = -torch.log(-torch.log(draws))
    mask = 1 / (1 + torch.exp(-(neck.separation(f) + noise[0] - noise[1]) / 0.8))
    robust, rest = mask * f, (1 - mask) * f
    if wanted.recalibrate:
        recalibrated = rest + (1 - mask) * neck.recalibration(rest)
        joined = robust + recalibrated
    else:
        recalibrated, joined = None, robust
    logits = network.head(pool(joined))
    clean = network(images()) if base.name != "pgd_at" else logits  # with draws of its own
    plain = plain_criterion(base.name, base, clean, logits, labels)
    for z, yes, no, y in zip(logits, aux(pool(robust)), aux(pool(rest)), labels.tolist(), strict=True):
        wrong = max((k for k in range(K) if k != y), key=lambda k, z=z: z[k])
        plain = plain + 0.7 * (nll(yes, y) + nll(no, wrong)) / B
    if recalibrated is not None:
        plain = plain + 1.3 * mean(nll(z, y) for z, y in zip(aux(pool(recalibrated)), labels, strict=True))
    torch.manual_seed(11)
    given = batch()
    loss = wanted.loss(network, given, modules)
    check_gradients(loss, plain, network, aux)
    assert given.notes["mask"] == [pytest.approx(mask.mean().item())]
    expected = {"adversarial_accuracy", "mask", "separation_loss"}
    assert given.notes.keys() == expected | ({"recalibration_loss"} if wanted.recalibrate else set())


def test_the_ablation_has_no_second_net():
    _, full, _ = make("fsr")
    _, without, _ = make("fsr", recalibrate=False)
    names = {n for n, _ in full.named_parameters()} - {n for n, _ in without.named_parameters()}
    assert names == {n for n, _ in full.named_parameters() if n.startswith("neck.recalibration")}
    assert len(names) == 7  # three convolutions, two normalisations


def test_the_auxiliary_head_is_kept():
    wanted, network, modules = make("fsr")
    kept = wanted.finish(network, modules)
    assert {key: tuple(value.shape) for key, value in kept.items()} == {
        "aux.weight": (K, C),
        "aux.bias": (K,),
    }
    f = network.eval().neck.parts(network.maps(images())).rest.mean(dim=(2, 3))
    assert_close(f @ kept["aux.weight"].T + kept["aux.bias"], modules["aux"](f), **EXACT)
    modules["aux"].weight.data.zero_()
    assert kept["aux.weight"].abs().max() > 0


def test_the_neck_must_be_there():
    wanted, network, _ = make("fsr")
    network.neck = None
    setup = Setup(network, C, K, SIZE, 1, torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    with pytest.raises(ValueError, match="fsr expected the one that it makes, got none"):
        wanted.modules(setup)
    network.neck = nn.Identity()
    with pytest.raises(ValueError, match="got Identity"):
        wanted.loss(network, batch(), {})


def test_the_base_has_its_own_defaults_unless_others_are_given():
    assert objective("fsr").based_on == objective("pgd_at")
    assert objective("fsr", base="trades").based_on == objective("trades")
    named = {"epsilon": 0.1, "attack_steps": 3, "step_size": 0.02}
    assert objective("fsr", base="mart", **named).based_on == objective("mart", **named)
    published = objective("fsr").based_on
    assert published.attack_steps == 10
    assert published.step_size == pytest.approx(published.epsilon / 4)


def test_any_adversarial_training_can_be_the_base(monkeypatch):
    class Squared(AdversarialObjective):
        name = "squared"

        def criterion(self, adversarial, labels, clean):
            return adversarial.square().mean()

    monkeypatch.setitem(families.families["objectives"].found, "squared", Squared)
    wanted, network, modules = make("fsr", base="squared", separation=0.0, recalibrate=False)
    assert type(wanted.based_on) is Squared
    moved = captured(wanted.based_on, network, monkeypatch)
    torch.manual_seed(0)
    loss = wanted.loss(network, batch(), modules)
    torch.manual_seed(0)
    assert_close(loss, network(moved).square().mean(), **ROUNDING)


def test_the_code_of_every_base_is_in_the_content_key():
    """A base is found by its name, so that no reference leads to it."""
    bases = {name: cls for name, cls in objectives().items() if issubclass(cls, AdversarialObjective)}
    assert bases.keys() == set(BASES)
    for name, cls in bases.items():
        assert definition_of(cls) in definitions_of(objective("fsr", base=name))
