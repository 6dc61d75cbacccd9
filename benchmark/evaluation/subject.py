"""What is evaluated: a classifier of anyone's, as the rest of the evaluation sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from methods.features import Features, Signal
from methods.head import Head


class Subject(Protocol):
    """A frozen classifier in eval mode.

    Attributes
    ----------
    title
        What pages call it, such as ``timm:resnet18``.
    classes
        K, how many it tells apart.
    class_names
        Of each of them, by index; None where the model does not know.
    fingerprint
        SHA-256 (hex) of what it computes: its weights by name, shape, type and value.
    head
        The final linear layer, or `Head.not_linear` with the reason.
    missing
        Signals that it cannot give, and why: a detector that needs one is not applicable for that reason.
    card
        What a report says of it, as JSON: where it is from, architecture, parameters, input size,
        preprocessing, which layer is the head, which are the stages.
    notes
        Warnings in plain sentences.
    prepare
        Takes a decoded RGB image to what `features` takes, without a batch dimension: uint8 pixels
        (3, H, W), resized and cropped, where the normalisation is known and is left to `features`; else
        float32, as the model takes it. None where images cannot be given (features computed elsewhere).
    differentiable
        Empty where gradients in the image can be had; else why not.
    """

    title: str
    classes: int
    class_names: tuple[str, ...] | None
    fingerprint: str
    head: Head
    missing: Mapping[Signal, str]
    card: Mapping[str, Any]
    notes: tuple[str, ...]
    prepare: Callable[[Image.Image], Tensor] | None
    differentiable: str
    device: torch.device

    def features(self, images: Tensor, what: Collection[Signal]) -> Features:
        """One forward pass: images (N, 3, H, W), uint8 pixels or floats as the model takes them.

        Logits and, of a linear head, penultimate features are always there, in float32 on the CPU; the other
        signals if they are asked for. It is differentiable in floats.
        """

    def pixels(self, images: Tensor) -> Features:
        """The same of pixels in [0, 1]: what a `GradientDetector` is given (`methods.base.FeatureNetwork`).

        Where the normalisation is not known, of images as the model takes them.
        """
