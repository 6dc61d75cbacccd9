"""The studies of a track as typed models: what is measured of its networks besides OOD detection.

Four of them, each with a selection for every run and more of it for `oodbench run --full`. This module must
not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from benchmark.spec.base import Count, Distinct, Name, Seed, SpecModel

StudyName = Literal["adversarial", "corruptions", "label_noise", "imbalance"]
CORRUPTIONS = (  # of the paper's fifteen those that need no photographs: frost is left out
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
Corruption = Literal[
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
]  # fmt: skip
Share = Annotated[float, Field(ge=0, le=1)]
Networks = Annotated[
    dict[Name, Distinct[Name]], Field(min_length=1, description="inits of the networks of each objective")
]


S = TypeVar("S", bound="_Study")


def _whole(strengths: list[float]) -> list[float]:
    if strengths != sorted(strengths) or (strengths[0], strengths[-1]) != (0.0, 1.0):
        raise ValueError(f"got {strengths}; expected ascending strengths from 0.0 to 1.0")
    for one, next_one in pairwise(strengths):
        if f"{one:g}" == f"{next_one:g}":
            raise ValueError(
                f"{one!r} and {next_one!r} have one name; expected strengths of six digits at most"
            )
    return strengths


Strengths = Annotated[Distinct[Share], AfterValidator(_whole)]


class MethodUse(SpecModel):
    """A registered method with its hyper-parameters."""

    method: Name
    hyperparameters: dict[str, Any] = Field({})


class _Study(SpecModel):
    backbones: Distinct[Name] | None = Field(None, description="only these; all of the track's if absent")
    seeds: Distinct[Seed] | None = Field(
        None, description="of a run that asks for no others, and not for --full; all of the track's if absent"
    )

    groups: ClassVar[tuple[str, ...]] = ("near", "far")  # of the OOD sets that it scores

    @property
    def conditions(self) -> tuple[str, ...]:
        """Under which a network of each row is measured; a single one has no name."""
        return ("",)


class _MoreNetworks(SpecModel):
    networks: Networks


class _OfNetworks(_Study):
    networks: Networks
    full: _MoreNetworks | None = None

    def on_full(self) -> Self:
        """With what only a full run measures."""
        return _grown(self, self.full, "networks")


class DetectorAttack(SpecModel):
    """PGD on a detector's score."""

    epsilon: Share = 8 / 255
    steps: Count = 10
    step_size: Annotated[float, Field(gt=0, le=1)] = 2 / 255


class Transfer(SpecModel):
    """Adversarial examples that were made on another network: of the same init and the next seed."""

    source: Name = Field(description="the objective of the network that they are made on")
    to: Distinct[Name] = Field(description="the objectives whose networks they are tried on")


class Adversarial(_OfNetworks):
    """Robust accuracy under attacks, and OOD detection when the detector itself is attacked."""

    images_per_class: Count = Field(description="at most so many test images of each class are attacked")
    attacks: dict[Name, MethodUse] = Field(min_length=1, description="`oodbench list attacks`")
    curves: Name = Field(description="the attack whose strength and steps the curves vary")
    epsilons: Distinct[Share] = Field(description="of the curve over strength")
    steps: Distinct[Count] = Field(description="of the curve over steps")
    transfer: Transfer | None = None
    detectors: Distinct[Name] = Field(description="that are attacked, each on all OOD sets")
    detector_attack: DetectorAttack = DetectorAttack()
    ood_images: Count = Field(100, description="how many of each OOD set are attacked")

    @model_validator(mode="after")
    def _curves_of_an_attack(self) -> Self:
        if self.curves not in self.attacks:
            raise ValueError(f"curves: {self.curves!r} is none of the attacks")
        return self

    @model_validator(mode="after")
    def _transfer_to_its_rows(self) -> Self:
        rows = rows_of(self.on_full())
        for row in self.transfer.to if self.transfer else ():
            if row not in rows:
                raise ValueError(f"transfer: to: {row!r} is none of the networks; expected one of {rows}")
        return self


class Corruptions(_OfNetworks):
    """Accuracy, calibration and near-OOD detection on corrupted test images (Hendrycks & Dietterich 2019)."""

    groups: ClassVar = ("near",)
    kinds: Distinct[Corruption]
    scale: Literal["imagenet_c", "cifar_c"] = Field(description="whose severity constants")
    images_per_class: Count = Field(description="at most so many test images of each class are corrupted")
    detectors: Distinct[Name]


class NoiseMethod(SpecModel):
    """How a network is trained on noisy labels."""

    objective: Name = "cross_entropy"
    trusted: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the training images of each class whose labels are known to be right"
    )


class _MoreNoise(SpecModel):
    strengths: Strengths | None = Field(None, description="in place of those of every run")
    noises: dict[Name, MethodUse] = Field({})
    methods: dict[Name, NoiseMethod] = Field({})


class LabelNoise(_Study):
    """Test error of networks trained on noisy labels, over the strength of the noise."""

    groups: ClassVar = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every noise at every strength."""
        return tuple(noise_condition(noise, p) for noise in self.noises for p in self.strengths)

    inits: Distinct[Name]
    strengths: Strengths
    noises: dict[Name, MethodUse] = Field(min_length=1, description="`oodbench list noise_models`")
    methods: dict[Name, NoiseMethod] = Field(min_length=1)
    watched: dict[Name, Distinct[Share]] = Field(
        {}, description="strengths at which a method's test error is kept after each epoch, for curves only"
    )
    full: _MoreNoise | None = None

    def on_full(self) -> Self:
        """With what only a full run measures."""
        grown = _grown(self, self.full, "noises", "methods")
        if self.full is not None and self.full.strengths is not None:
            grown = grown.model_copy(update={"strengths": self.full.strengths})
        return grown


class ImbalanceMethod(SpecModel):
    """How a network is trained on a long tail."""

    objective: Name = "cross_entropy"
    sampler: MethodUse | None = Field(None, description="`oodbench list samplers`")


class _MoreImbalance(SpecModel):
    profiles: dict[Name, MethodUse] = Field({})
    methods: dict[Name, ImbalanceMethod] = Field({})


class Imbalance(_Study):
    """Total and minority error, and OOD detection, of networks trained on long tails."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every long tail."""
        return tuple(self.profiles)

    inits: Distinct[Name]
    profiles: dict[Name, MethodUse] = Field(min_length=1, description="`oodbench list profiles`")
    methods: dict[Name, ImbalanceMethod] = Field(min_length=1)
    detectors: Distinct[Name]
    full: _MoreImbalance | None = None

    def on_full(self) -> Self:
        """With what only a full run measures."""
        return _grown(self, self.full, "profiles", "methods")


Study = Adversarial | Corruptions | LabelNoise | Imbalance


class Studies(SpecModel):
    """The studies of a track."""

    adversarial: Adversarial | None = None
    corruptions: Corruptions | None = None
    label_noise: LabelNoise | None = None
    imbalance: Imbalance | None = None

    def chosen(self, *, full: bool) -> Mapping[StudyName, Study]:
        """Those that there are, with what only a full run measures if `full`."""
        named: dict[StudyName, Study | None] = {
            "adversarial": self.adversarial,
            "corruptions": self.corruptions,
            "label_noise": self.label_noise,
            "imbalance": self.imbalance,
        }
        return {n: study.on_full() if full else study for n, study in named.items() if study is not None}


def noise_condition(noise: str, strength: float) -> str:
    """What records call a noise of some strength: ``uniform@0.4``."""
    return f"{noise}@{strength:g}"


def rows_of(study: Study) -> list[str]:
    """The rows of a study's boards: objectives, or methods."""
    return list(study.networks if isinstance(study, Adversarial | Corruptions) else study.methods)


def inits_of(study: Study) -> list[str]:
    """Every init that a study uses."""
    if isinstance(study, Adversarial | Corruptions):
        return list(dict.fromkeys(init for inits in study.networks.values() for init in inits))
    return list(study.inits)


def _grown(study: S, more: SpecModel | None, *keys: str) -> S:
    """`study` with the mappings of `more` added; inits of an objective that both name come together."""
    if more is None:
        return study
    update: dict[str, Any] = {}
    for key in keys:
        ours, theirs = getattr(study, key), getattr(more, key)
        update[key] = {**ours, **theirs}
        if key == "networks":
            both = ours.keys() & theirs.keys()
            update[key] |= {name: list(dict.fromkeys([*ours[name], *theirs[name]])) for name in both}
    return study.model_copy(update=update)
