"""Accuracy of a network under attack.

An image counts as right under an attack if the network is right on the clean image and on the attacked one
(spec §3). Attacks run on batches of images, one after the other, each with a generator of its own; what an
attack does to an image depends on the seed, the attack's name and the image's place. So images may be
attacked in several goes (`attempt`), of which whole batches are one, and judged together (`judged`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmark.attacks.batches import Rows, generator, join
from benchmark.attacks.checks import (
    check_finite,
    check_points,
    loss_warnings,
    masking_warnings,
    no_gradient,
    unchanged,
)
from benchmark.backbones.checkpoint import Pieces
from benchmark.backbones.device import in_pieces, moved, on_cpu
from methods.attack import Attack, Classifier, check_labels, cross_entropy, gradient
from methods.errors import NotApplicable, said
from methods.tensors import at_once, check_images


@dataclass(frozen=True)
class Steps:
    """Accuracy and mean cross-entropy after 0, 1, 2, … points of an attack's search; 0 is clean."""

    accuracy: tuple[float, ...]
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Robustness:
    """Accuracy of N images, clean and under attacks; accuracies are shares in [0, 1]."""

    clean: float
    robust: Mapping[str, float]  # by attack
    worst: float  # under every attack at once, image by image
    right: Mapping[str, Tensor]  # by attack, (N,) bool on the CPU
    losses: Mapping[str, tuple[float, ...]]  # by attack: mean cross-entropy, clean, where it was seen, last
    steps: Mapping[str, Steps]  # of the attacks that were followed step by step
    warnings: tuple[str, ...]  # signs that the numbers flatter


@dataclass(frozen=True)
class Attempts:
    """What attacks made of some images, image by image.

    Clean, an image is ``right`` and has ``losses`` (N,); of the first that are right, M, something is known
    that is no row: which are ``without_gradient`` (M,).
    """

    clean: Rows
    attacked: Mapping[str, Rows]  # by attack: as `_attacked` says
    left_out: Mapping[str, str]  # attacks that do not apply, and why


@dataclass(frozen=True)
class _Clean:
    """The clean images of one batch, and what the network makes of them, on the CPU."""

    images: Tensor
    labels: Tensor
    right: Tensor  # (N,) bool
    losses: Tensor  # (N,)
    no_gradient: Tensor | None  # (N,) bool: it leads nowhere; None where it was not asked for

    def on(self, place: torch.device) -> _Clean:
        """The same on a device, to be attacked."""
        images, labels, right, losses = (
            moved(one, place) for one in (self.images, self.labels, self.right, self.losses)
        )
        return _Clean(images, labels, right, losses, self.no_gradient)

    def rows(self) -> dict[str, Tensor]:
        """What `Attempts.clean` has of them."""
        found = {"right": self.right, "losses": self.losses}
        if self.no_gradient is not None:
            found["without_gradient"] = self.no_gradient[self.right]
        return found


class _Recorder:
    """A network that remembers its logits of images that are waited for: the attack asks for them anyway."""

    def __init__(self, network: Classifier) -> None:
        self.network = network
        self.waiting: Tensor | None = None
        self.logits: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        if self.waiting is not None and self.logits is None and torch.equal(images, self.waiting):
            self.logits = logits.detach()
        return logits


def attack_accuracy(
    network: Classifier,
    images: Tensor,
    labels: Tensor,
    attacks: Mapping[str, Attack],
    seed: int,
    *,
    every: Collection[str] = (),
    pieces: Pieces | None = None,
) -> Robustness:
    """Measure accuracy on clean images, under each attack, and under the worst of them for each image.

    It costs the attacks themselves, one forward pass of the clean images, one of what each attack made, and
    one backward pass of the first batch, which is searched for images without a gradient.

    Parameters
    ----------
    network
        In eval mode. A module is held to stay as it is, and images are taken to its device; of another
        callable nothing can be seen.
    images
        Floats (N, 3, H, W) in [0, 1].
    labels
        (N,) int64.
    attacks
        By the names that seeds are derived from.
    seed
        Of the evaluation.
    every
        Names of attacks that are judged after each step of their search. Where an attack asks the network
        for its own points, as PGD does, that costs nothing more.
    pieces
        Keeps what each attack came to, until all have.

    Raises
    ------
    ValueError
        If there are no images or attacks, the network is in train mode, or the arguments do not fit.
    BrokenAttack
        If an attack leaves the ball or [0, 1], changes the network, or numbers are not finite.
    NotApplicable
        If every attack needs what is not there, such as a package; of several, such ones are left out, with a
        warning.
    """
    return judged(attacks, attempt(network, images, labels, attacks, seed, every=every, pieces=pieces))


def attempt(
    network: Classifier,
    images: Tensor,
    labels: Tensor,
    attacks: Mapping[str, Attack],
    seed: int,
    *,
    every: Collection[str] = (),
    pieces: Pieces | None = None,
    first: int = 0,
) -> Attempts:
    """Attack images; arguments and errors as for `attack_accuracy`.

    Parameters
    ----------
    first
        The place of the first image among all that are attacked: a multiple of what `at_once` says.
    """
    _check_arguments(network, images, labels)
    if not attacks:
        raise ValueError("attacks: expected at least one")
    ask = not first and any(attack.needs_gradient for attack in attacks.values())
    clean = _clean(network, images, labels, ask_gradient=ask)
    found: dict[str, Rows] = {}
    left_out: dict[str, str] = {}
    pieces = pieces or Pieces()
    for name, attack in attacks.items():
        asked = partial(_attacked, network, name, attack, clean, seed, first, every=name in every)
        try:
            found[name] = pieces.of(f"attack {name} {attack.hyperparameters()} {name in every}", asked)
        except NotApplicable as error:
            if len(left_out) + 1 == len(attacks):
                raise
            left_out[name] = said(error)
    return Attempts(join([batch.rows() for batch in clean]), found, left_out)


def judged(attacks: Mapping[str, Attack], attempts: Attempts) -> Robustness:
    """What the attempts on all images come to."""
    clean, made = attempts.clean, {name: attacks[name] for name in attempts.attacked}
    right = {name: rows["right"] for name, rows in attempts.attacked.items()}
    losses = {
        name: (_mean(clean["losses"]), *_means(rows["losses"])) for name, rows in attempts.attacked.items()
    }
    steps = {
        name: Steps((_mean(clean["right"]), *_means(rows["rights"])), losses[name])
        for name, rows in attempts.attacked.items()
        if "rights" in rows
    }
    worst = torch.stack(list(right.values())).all(dim=0)
    robust = {name: _mean(flags) for name, flags in right.items()}
    signs = [sign for name in made if made[name].epsilon > 0 for sign in loss_warnings(name, losses[name])]
    without = clean.get("without_gradient", torch.zeros(0))
    return Robustness(
        clean=_mean(clean["right"]),
        robust=robust,
        worst=_mean(worst),
        right=right,
        losses=losses,
        steps=steps,
        warnings=(
            *(f"{name}: left out: {why}" for name, why in attempts.left_out.items()),
            *signs,
            *masking_warnings(made, robust, _mean(without) if len(without) else 0.0),
        ),
    )


def _attacked(
    network: Classifier,
    name: str,
    attack: Attack,
    clean: list[_Clean],
    seed: int,
    first: int,
    *,
    every: bool,
) -> dict[str, Tensor]:
    """Of each image, on the CPU: what it is in the end, and at the P points of the search.

    ``right`` (N,) bool; ``losses`` (N, P), NaN where not seen; with `every`, ``rights`` (N, P) bool.
    """
    found = []
    with unchanged(name, network):
        for batch in clean:
            walk = _walked(network, name, attack, batch, generator(first, seed, name), every=every)
            found.append(_rows(walk, every=every))
            first += len(batch.labels)
    return join(found)


def _rows(walk: list[_Seen], *, every: bool) -> dict[str, Tensor]:
    last = walk[-1]
    losses = torch.full((len(last.losses), last.step + 1), torch.nan, dtype=last.losses.dtype)
    for at in walk:
        losses[:, at.step] = at.losses
    found = {"right": last.right, "losses": losses}
    return {**found, "rights": torch.stack([at.right for at in walk], dim=1)} if every else found


@dataclass(frozen=True)
class _Seen:
    """What the network makes of one point of a search."""

    step: int
    right: Tensor  # (N,) bool: on the clean images too
    losses: Tensor  # (N,)


def _walked(
    network: Classifier, name: str, attack: Attack, clean: _Clean, rng: torch.Generator, *, every: bool
) -> list[_Seen]:
    """Follow an attack's search over a batch where the network is, as far as memory reaches at once."""
    state, batch = rng.get_state(), clean.on(_place(network, clean.images))

    def walk(shown: Classifier) -> list[_Seen]:
        rng.set_state(state)
        return _walk(shown, name, attack, batch, rng, every=every)

    seen = in_pieces(walk, network, len(clean.labels))
    return [_Seen(at.step, on_cpu(at.right), on_cpu(at.losses)) for at in seen]


def _walk(
    network: Classifier,
    name: str,
    attack: Attack,
    clean: _Clean,
    rng: torch.Generator,
    *,
    every: bool,
) -> list[_Seen]:
    """Follow an attack's search over a batch: every point, or those that cost nothing, and the last."""
    recorder = _Recorder(network)
    seen: list[_Seen] = []

    def judge(step: int, logits: Tensor) -> None:
        check_finite(f"attack {name}", logits, "logits")
        right = clean.right & (logits.argmax(dim=1) == clean.labels)
        seen.append(_Seen(step, right, cross_entropy(logits, clean.labels)))

    def look(point: Tensor) -> Tensor:
        check_points(name, point, clean.images, attack.reach)
        with torch.no_grad():
            return network(point)

    step = 0
    for point in attack.path(recorder, clean.images, clean.labels, rng):
        if recorder.waiting is not None and (recorder.logits is not None or every):
            judge(step, look(recorder.waiting) if recorder.logits is None else recorder.logits)
        recorder.waiting, recorder.logits, step = point, None, step + 1
    assert recorder.waiting is not None, f"attack {name}: path yields at least one point"
    judge(step, look(recorder.waiting))
    return seen


def _clean(network: Classifier, images: Tensor, labels: Tensor, *, ask_gradient: bool) -> list[_Clean]:
    found: list[_Clean] = []
    size, place = at_once(images), _place(network, images)
    for part, own in zip(torch.split(images, size), torch.split(labels, size), strict=True):
        # As timm's convolutions want it; nothing is copied in the steps that follow.
        part = part.detach().contiguous(memory_format=torch.channels_last)
        ask = ask_gradient and not found  # a sign, of which one batch gives enough
        judged = partial(_judged, images=moved(part, place), labels=moved(own, place), ask_gradient=ask)
        right, losses, nowhere = in_pieces(judged, network, len(part))
        nowhere = None if nowhere is None else on_cpu(nowhere)
        found.append(_Clean(part, own, on_cpu(right), on_cpu(losses), nowhere))
    return found


def _judged(
    network: Classifier, images: Tensor, labels: Tensor, *, ask_gradient: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Of clean images: which the network is right on, its losses, and where the gradient leads nowhere."""
    recorder = _Recorder(network)
    recorder.waiting = images
    nowhere: Tensor | None = None
    loss = _loss(recorder, labels)
    if ask_gradient:
        slope, losses = gradient(loss, images)
        nowhere = no_gradient(slope)
    else:
        with torch.no_grad():
            losses = loss(images)
    logits = recorder.logits
    assert logits is not None
    check_finite("clean images", logits, "logits")
    return logits.argmax(dim=1) == labels, losses, nowhere


def _place(network: Classifier, images: Tensor) -> torch.device:
    """Where a network computes: of a callable that is no module, where the images are."""
    first = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    return images.device if first is None else first.device


def _loss(network: Classifier, labels: Tensor) -> Callable[[Tensor], Tensor]:
    highest = int(labels.max())

    def loss(images: Tensor) -> Tensor:
        logits = network(images)
        if highest >= logits.shape[1]:
            raise ValueError(f"labels: {highest} is none of the network's {logits.shape[1]} classes")
        return cross_entropy(logits, labels)

    return loss


def _means(columns: Tensor) -> tuple[float, ...]:
    """Means over the images of columns (N, P), of those that are known of every image."""
    # A column of its own in memory is summed in the order in which it always was.
    means = [_mean(columns[:, point].contiguous()) for point in range(columns.shape[1])]
    return tuple(mean for mean in means if not math.isnan(mean))


def _mean(column: Tensor) -> float:
    return float(column.double().mean())


def _check_arguments(network: Classifier, images: Tensor, labels: Tensor) -> None:
    if not len(images):
        raise ValueError("images: expected at least one")
    check_images(images)
    check_labels(labels, len(images))
    if isinstance(network, nn.Module) and network.training:
        raise ValueError("network: expected eval mode; call network.eval() first")
