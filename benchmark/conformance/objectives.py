"""The conformance suite of objectives and corrections: what a few epochs on a small network show.

Two classes of 48 images, stripes across and stripes down, are learnt by ``test_resnet`` and ``test_vit``, at
the hyper-parameters that a method calls `small`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.create import create_network
from benchmark.backbones.network import Network
from benchmark.backbones.train import Trained, train
from benchmark.conformance import contract, texts
from benchmark.conformance.contract import Contributed
from benchmark.conformance.findings import Check, Severity, check
from benchmark.conformance.settings import alternatives
from benchmark.conformance.sources import files_of
from benchmark.conformance.surroundings import KINDS, Worked, listed, work, written
from methods.errors import HyperparameterError
from methods.objective import NETWORK, Data, Objective
from methods.registry import detector_class, objective_class

SIDE, CLASSES, EPOCHS = 32, 2, 2
LONG = 4  # epochs in which something is learnt
RECIPE: dict[str, Any] = {
    "epochs": EPOCHS, "batch_size": 12, "optimizer": "adamw", "lr": 0.003, "weight_decay": 0.01,
    "scheduler": "cosine", "warmup_epochs": 0, "augment": "none", "tune": "all",
}  # fmt: skip
NETWORKS = ("test_resnet", "test_vit")  # a convolutional network and a transformer
TRIED = 3  # other values of a hyper-parameter


def striped(n: int, seed: int) -> LabelledImages:
    """Two classes: stripes across, stripes down; noise over both."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    stripe = 120.0 * (torch.arange(SIDE) // 4 % 2)
    across, down = stripe.expand(SIDE, SIDE), stripe[:, None].expand(SIDE, SIDE)
    images = torch.stack([across, down])[labels][:, None].expand(n, 3, SIDE, SIDE)
    noise = torch.randint(0, 100, (n, 3, SIDE, SIDE), generator=rng)
    return LabelledImages((images + noise).to(torch.uint8), labels)


TRAIN, VAL = striped(48, 0), striped(16, 1)
OUTLIERS = torch.randint(
    0, 256, (40, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(2), dtype=torch.uint8
)
# What a network of a first phase might say of the training images, and every third label known to be right.
FIRST = torch.nn.functional.one_hot(TRAIN.labels, CLASSES) * 0.6 + 0.2
TOLD = replace(TRAIN, trusted=torch.arange(len(TRAIN.labels)) % 3 == 0)


def fresh(objective: Objective, architecture: str) -> Network:
    """A network on its first weights, with the head that the objective wants."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = create_network(architecture, CLASSES, SIDE)
        network.adapt(objective, CLASSES)
    return network


def trained(objective: Objective, architecture: str = NETWORKS[0], **options: Any) -> tuple[Network, Trained]:
    """A network trained on the stripes; what the objective needs besides is there."""
    network = fresh(objective, architecture)
    network.precision = options.pop("precision", None)
    recipe = RECIPE | options.pop("recipe", {})
    if objective.needs and "outliers" not in options:
        options["outliers"] = OUTLIERS
    if objective.first_phase is not None:
        options["first"] = FIRST
    data = TOLD if objective.trusted else TRAIN
    return network, train(network, objective, data, VAL, recipe, 5, **options)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether tensors by name are equal to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


class Training(Contributed):
    """An objective's class, and what training with it comes to."""

    cls: type[Objective]

    def __init__(self, cls: type[Objective]) -> None:
        super().__init__(cls)
        self.objective = cls.configure(cls.small)

    @cached_property
    def whole(self) -> tuple[Network, Trained]:
        """One undisturbed training."""
        return trained(self.objective)

    @cached_property
    def worked(self) -> Worked:
        """What another one does besides."""
        return work(files_of(self.cls), lambda: self.whole)


@check("declares", "methods/objective.py says what an objective declares")
def declares(subject: Training) -> Iterator[str]:
    """It names detectors and objectives that there are, and what it costs."""
    cls = subject.cls
    if not cls.detectors:
        yield "detectors: expected the names of those that the paper scores it with, got none"
    for name in cls.detectors:
        detector_class(name)
    for other in (cls.starts_from, cls.first_phase):
        if other is not None:
            objective_class(other)
    if cls.cost < 1:
        yield f"cost: expected at least 1, the passes of cross_entropy, got {cls.cost}"
    if not cls.needs <= set(Data):
        yield f"needs: expected members of Data, got {set(cls.needs)}"
    if NETWORK in subject.objective.optimizers():
        yield f"optimizers: {NETWORK!r} is the name of the network's own"


@check("loss falls", "look at the sign of the loss, and at what of it has a gradient")
def loss_falls(subject: Training) -> Iterator[str]:
    """The loss is finite and falls, on a convolutional network and a transformer."""
    for architecture in NETWORKS:
        _, found = trained(subject.objective, architecture, recipe={"epochs": LONG})
        losses = [float(epoch["loss"]) for epoch in found.history]
        said = ", ".join(f"{loss:.3g}" for loss in losses)
        if not all(map(math.isfinite, losses)):
            yield f"{architecture}: the loss is not finite: {said}"
        elif not losses[-1] < max(losses[:-1]):  # not the first: a curriculum adds terms on its way
            yield f"{architecture}: the loss does not fall: {said}"


@check("weights", "a part that nothing trains would be a mistake; divide by nothing that may be 0")
def weights(subject: Training) -> Iterator[str]:
    """All weights stay finite, and all parts of the network are trained."""
    before = copy.deepcopy(fresh(subject.objective, NETWORKS[0]).state_dict())
    network, _ = trained(subject.objective, recipe={"scheduler": "none"})
    after = network.state_dict()
    if bad := [name for name, value in after.items() if not torch.isfinite(value).all()]:
        yield f"not finite: {listed(bad)}"
    plain = subject.cls.head is Objective.head
    still = [n for n, _ in network.named_parameters() if torch.equal(before[n], after[n])]
    if unmoved := [n for n in still if "layer" in n or ("fc" in n and plain)]:
        yield f"not trained: {listed(unmoved)}"


@check("repeats", "draw from `batch.rng`, and from no other")
def repeats(subject: Training) -> Iterator[str]:
    """The same seed gives the same bits."""
    network, found = subject.whole
    torch.manual_seed(99)
    again, repeated = trained(subject.objective)
    if not same(network.weights(), again.weights()) or found.history != repeated.history:
        yield "the same seed gives other weights"
    if not same(dict(found.kept), dict(repeated.kept)):
        yield "`finish` keeps something else"


@check("outliers", "say in `needs` what it looks at besides labelled images")
def outliers(subject: Training) -> Iterator[str]:
    """Outliers are asked for where they are needed, and nowhere else."""
    if not subject.cls.needs:
        if not same(trained(subject.objective, outliers=OUTLIERS)[0].weights(), subject.whole[0].weights()):
            yield "it needs no outliers, and gives other weights where there are some"
        return
    try:
        trained(subject.objective, outliers=None)
    except ValueError as error:
        if f"{subject.name}: needs " not in str(error):
            yield f"without outliers it says {str(error)!r}"
    else:
        yield "it needs outliers, and trains without"
    other, _ = trained(subject.objective, outliers=255 - OUTLIERS[:20])
    if same(other.weights(), subject.whole[0].weights()):
        yield "other outliers give the same weights"


@check("state", "what changes in training lies in parameters and buffers of `modules`")
def state(subject: Training) -> Iterator[str]:
    """Training changes neither the objective, nor globals, nor what all methods share."""
    before = dict(vars(subject.objective))
    found = subject.worked
    if vars(subject.objective) != before:
        yield f"it keeps something in the objective: {listed(vars(subject.objective).keys() - before.keys())}"
    if changed := [*found.kept, *(c for c in found.changes if not c.startswith("the state of "))]:
        yield f"it changed {listed(changed)}"


def _depends(kind: str) -> Check[Training]:
    what, advice = KINDS[kind]

    def find(subject: Training) -> Iterator[str]:
        if places := subject.worked.calls.get(kind, set()) | written(subject.cls, kind):
            yield f"it looks at {what}: {listed(places)}"

    find.__doc__ = f"It does not depend on {what}."
    return check(kind, advice)(find)


@check("effect", "use it, or take it out", severity=Severity.WARNING)
def effect(subject: Training) -> Iterator[str]:
    """Every hyper-parameter changes a training of a few epochs; some may show only in longer ones."""
    expected = subject.whole[0].weights()
    hints = contract.hints_of(subject.cls)
    for name, value in subject.objective.hyperparameters().items():
        tried = 0
        for other in alternatives(hints[name], value):
            try:
                objective = subject.cls.configure({**subject.cls.small, name: other})
                found = trained(objective)[0].weights()
            except (HyperparameterError, ValueError, ArithmeticError):
                continue
            tried += 1
            if tried == TRIED or not same(found, expected):
                break
        if not tried or same(found, expected):
            yield f"hyper-parameter {name!r} changes no weight at {tried} other values in {EPOCHS} epochs"


TRAININGS = (declares, loss_falls, weights, repeats, outliers, state)
CHECKS: tuple[Check[Any], ...] = (
    *contract.CHECKS, *texts.CHECKS, *TRAININGS, *map(_depends, KINDS), effect,
)  # fmt: skip
