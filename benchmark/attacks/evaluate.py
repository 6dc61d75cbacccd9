"""Accuracy of a network under attack.

An image counts as right under an attack if the network is right on the clean image and on the attacked one
(spec §3). Attacks run on batches of images, one after the other, each attack with a generator of
its own; what an attack does to an image depends on the seed, the attack's name and the image's place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

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
from benchmark.seeds import derive_seed
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
    _check_arguments(network, images, labels)
    if not attacks:
        raise ValueError("attacks: expected at least one")
    ask = any(attack.needs_gradient for attack in attacks.values())
    clean = _clean(network, images, labels, ask_gradient=ask)
    right_clean = torch.cat([batch.right for batch in clean])
    without = [b.no_gradient[b.right] for b in clean if b.no_gradient is not None and b.right.any()]
    right: dict[str, Tensor] = {}
    losses: dict[str, tuple[float, ...]] = {}
    steps: dict[str, Steps] = {}
    left_out: list[str] = []
    pieces = pieces or Pieces()
    for name, attack in attacks.items():
        asked = partial(_attacked, network, name, attack, clean, seed, every=name in every)
        try:
            found = pieces.of(f"attack {name} {attack.hyperparameters()} {name in every}", asked)
        except NotApplicable as error:
            if len(left_out) + 1 == len(attacks):
                raise
            left_out.append(f"{name}: left out: {said(error)}")
            continue
        right[name], losses[name] = found["right"], tuple(found["losses"].tolist())
        if name in every:
            steps[name] = Steps((_share(right_clean), *found["accuracy"].tolist()), losses[name])
    worst = torch.stack(list(right.values())).all(dim=0)
    robust = {name: _share(flags) for name, flags in right.items()}
    made = {name: attacks[name] for name in right}
    signs = [sign for name in made if made[name].epsilon > 0 for sign in loss_warnings(name, losses[name])]
    return Robustness(
        clean=_share(right_clean),
        robust=robust,
        worst=_share(worst),
        right=right,
        losses=losses,
        steps=steps,
        warnings=(
            *left_out,
            *signs,
            *masking_warnings(made, robust, _share(torch.cat(without)) if without else 0.0),
        ),
    )


def _attacked(
    network: Classifier, name: str, attack: Attack, clean: list[_Clean], seed: int, *, every: bool
) -> dict[str, Tensor]:
    """Which images (N,) are right in the end; mean losses and, of all steps, accuracies, as float64."""
    with unchanged(name, network):
        walks = [
            _walked(network, name, attack, batch, rng, every=every)
            for batch, rng in _with_rng(clean, seed, name)
        ]
    columns = zip(*walks, strict=True) if every else ()
    accuracy = [_share(torch.cat([seen.right for seen in column])) for column in columns]
    return {
        "right": torch.cat([walk[-1].right for walk in walks]),
        "losses": torch.tensor(_mean_losses(clean, walks), dtype=torch.float64),
        "accuracy": torch.tensor(accuracy, dtype=torch.float64),
    }


def accuracy_by_epsilon(
    network: Classifier,
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    epsilons: Sequence[float],
    seed: int,
    name: str | None = None,
    pieces: Pieces | None = None,
) -> dict[float, float]:
    """Measure accuracy under the same attack, with the same seed, for each ε; arguments and errors as above.

    Other hyper-parameters stay as they are: a step size that is given in pixels does not grow with ε.
    """
    name = name or attack.name
    found = {}
    for epsilon in epsilons:
        moved = attack.configure({**attack.hyperparameters(), "epsilon": epsilon})
        one = attack_accuracy(network, images, labels, {name: moved}, seed, pieces=pieces)
        found[epsilon] = one.robust[name]
    return found


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


def _with_rng(clean: list[_Clean], seed: int, name: str) -> Iterator[tuple[_Clean, torch.Generator]]:
    rng = torch.Generator().manual_seed(derive_seed(seed, name))
    for batch in clean:
        yield batch, rng


def _mean_losses(clean: list[_Clean], walks: list[list[_Seen]]) -> tuple[float, ...]:
    """Mean loss of the clean images, then after each step that was seen in every batch."""
    columns = [torch.cat([batch.losses for batch in clean])]
    seen = [{at.step: at.losses for at in walk} for walk in walks]
    columns += [
        torch.cat([losses[step] for losses in seen]) for step in sorted(set(seen[0]).intersection(*seen))
    ]
    return tuple(float(column.double().mean()) for column in columns)


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())


def _check_arguments(network: Classifier, images: Tensor, labels: Tensor) -> None:
    if not len(images):
        raise ValueError("images: expected at least one")
    check_images(images)
    check_labels(labels, len(images))
    if isinstance(network, nn.Module) and network.training:
        raise ValueError("network: expected eval mode; call network.eval() first")
