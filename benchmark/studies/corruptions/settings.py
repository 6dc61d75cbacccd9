"""What leaderboard.yaml says of corruptions."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field

from benchmark.spec.base import Count, Distinct, Name, SpecModel
from benchmark.studies.settings import Networks, OfNetworks

Corruption = Literal[  # of the paper's fifteen those that need no photographs: frost is left out
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
]  # fmt: skip
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)


class _MoreNetworks(SpecModel):
    networks: Networks


class Corruptions(OfNetworks):
    """Accuracy, calibration and near-OOD detection on corrupted test images (Hendrycks & Dietterich 2019)."""

    groups: ClassVar = ("near",)
    told: ClassVar = frozenset({"kinds", "scale", "images_per_class", "detectors"})

    full: _MoreNetworks | None = None
    kinds: Distinct[Corruption]
    scale: Literal["imagenet_c", "cifar_c"] = Field(description="whose severity constants")
    images_per_class: Count = Field(description="at most so many test images of each class are corrupted")
    detectors: Distinct[Name]


SETTINGS = Corruptions
