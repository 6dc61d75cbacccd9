"""Attacking the images of a network: all of them, or a shard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial

import torch
from torch import Tensor

from benchmark.attacks.batches import generator
from benchmark.attacks.checks import unchanged
from benchmark.attacks.detector import ImageScore, Part, attack_scores
from benchmark.attacks.evaluate import attempt
from benchmark.backbones.checkpoint import Pieces
from benchmark.backbones.device import here, in_pieces, moved, on_cpu
from benchmark.backbones.network import Network, to_pixels
from benchmark.jobs.inputs import trained_network
from benchmark.jobs.shards import share
from benchmark.seeds import derive_seed
from benchmark.store.artifacts import Artifact
from benchmark.studies.adversarial.config import AdversarialConfig
from benchmark.studies.adversarial.tried import Tried
from benchmark.studies.config import SubjectInputs
from benchmark.studies.subject import GROUPS, Subject
from methods.attack import Attack, Classifier
from methods.errors import NotApplicable, said
from methods.registry import attack
from methods.tensors import at_once

PARTS: tuple[Part, Part] = ("id", "ood")


class Attacked:
    """A network, the images of it that are attacked, and the attacks."""

    def __init__(self, config: AdversarialConfig, inputs: SubjectInputs[Artifact]) -> None:
        self.config, self.subject = config, Subject(config, inputs)
        part = self.subject.test_part(config.images_per_class)
        self.images, self.labels = part.images[:], part.labels  # uint8 (N, 3, S, S)
        self.attacks: dict[str, Attack] = {
            name: attack(use["method"], **use["hyperparameters"]) for name, use in config.attacks.items()
        }
        self.curve = self.attacks[config.curves]
        # A step size that is given in pixels does not grow with ε.
        self.strengths: dict[float, Attack] = {
            epsilon: self.curve.configure({**self.curve.hyperparameters(), "epsilon": epsilon})
            for epsilon in config.epsilons
            if epsilon != self.curve.epsilon
        }
        self.seed = derive_seed(config.seed, "attacks")

    @cached_property
    def outside(self) -> dict[tuple[str, str], Tensor]:
        """The OOD images that are attacked, uint8, by group and set."""
        found = {}
        for group in GROUPS:
            for name, images in self.subject.outside(group).items():
                rng = torch.Generator().manual_seed(derive_seed(self.config.seed, "outside", name))
                drawn = torch.randperm(len(images), generator=rng)[: self.config.ood_images]
                found[group, name] = images[drawn]
        return found

    def tried(self, pieces: Pieces) -> Tried:
        """Attack the images of the shard, or all; what each attack came to is kept as a piece.

        Raises
        ------
        NotApplicable
            If none of the attacks on the network applies.
        """
        images = {"id": self.images, "ood": torch.cat(list(self.outside.values()))}
        own = share(images, at_once(self.images), self.config.shard)
        found = Tried()
        if "id" in own:
            self._on_network(own["id"], pieces, found)
        for name in self.config.detectors:
            try:
                self._on_detector(name, images, own, pieces, found)
            except NotApplicable as error:
                found.left_out[f"detector {name}"] = said(error)
        return found

    def _on_network(self, own: slice, pieces: Pieces, found: Tried) -> None:
        images, labels, network = to_pixels(self.images[own]), self.labels[own], self.subject.network
        curves, first = self.config.curves, own.start
        shown = network, images, labels
        tried = attempt(*shown, self.attacks, self.seed, every=[curves], pieces=pieces, first=first)
        found.rows["clean"] = tried.clean
        found.rows.update({f"attack {name}": rows for name, rows in tried.attacked.items()})
        found.left_out.update({f"attack {name}": why for name, why in tried.left_out.items()})
        if curves in tried.left_out:
            return
        for epsilon, moved_by in self.strengths.items():
            other = attempt(*shown, {curves: moved_by}, self.seed, pieces=pieces, first=first)
            found.rows[f"epsilon {epsilon}"] = other.attacked[curves]
        if self.subject.inputs.transfer is not None:
            found.rows["transfer"] = pieces.of("transfer", partial(self._transferred, images, labels, first))

    def _transferred(self, images: Tensor, labels: Tensor, first: int) -> dict[str, Tensor]:
        """Which images are right, themselves and as the attack of the curves made them of another network."""
        assert self.subject.inputs.transfer is not None
        source = trained_network(self.config.network, self.subject.inputs.transfer)
        source.requires_grad_(requires_grad=False)
        right, size = [], at_once(images)
        for batch in zip(torch.split(images, size), torch.split(labels, size), strict=True):
            part, own = (moved(one, here()) for one in batch)
            rng = generator(first, self.seed, "transfer")
            example = perturbed(self.curve, source, part, own, rng)
            with torch.no_grad():
                clean, attacked = (self.subject.network(x).argmax(dim=1) == own for x in (part, example))
            right.append(on_cpu(clean & attacked))
            first += len(own)
        return {"right": torch.cat(right)}

    def _on_detector(
        self,
        name: str,
        images: Mapping[str, Tensor],
        own: Mapping[str, slice],
        pieces: Pieces,
        found: Tried,
    ) -> None:
        (chosen,) = self.subject.detectors([name]).values()
        seed = derive_seed(self.config.seed, "detector")

        def scored(part: Part, rows: slice) -> dict[str, Tensor]:
            with unchanged(f"on {name}", self.subject.network):
                score = ImageScore(chosen, self.subject.tap)
                shown, attack = to_pixels(images[part][rows]), self.config.detector_attack
                return attack_scores(score, shown, seed, part, first=rows.start, **attack)

        for part, rows in ((part, own[part]) for part in PARTS if part in own):
            piece = f"detector {name} {part}"
            found.rows[piece] = pieces.of(piece, partial(scored, part, rows))


def perturbed(
    chosen: Attack, network: Network, images: Tensor, labels: Tensor, rng: torch.Generator
) -> Tensor:
    """Adversarial images, as far as memory reaches at once."""
    state = rng.get_state()

    def perturb(shown: Classifier) -> Tensor:
        rng.set_state(state)
        return chosen.perturb(shown, images, labels, rng)

    return in_pieces(perturb, network, len(images))
