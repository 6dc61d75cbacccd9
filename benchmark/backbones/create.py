"""Making networks: a timm model by name, with its stem, options, input normalisation and scaling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

import benchmark.backbones.models  # noqa: F401 - registers them
from benchmark.backbones.looks import Looks
from benchmark.backbones.network import CHANNELS, Network
from benchmark.errors import DataError, UsageError
from methods.names import did_you_mean
from methods.neutral import neutral


def scaling_matrix(size: int, enlarged: int, interpolation: str = "bilinear") -> Tensor:
    """(S', S) float32 that scales images of side `size` to `enlarged`: ``M @ images @ M.T``.

    Torch's bilinear and bicubic interpolation, without its antialiasing, take rows and columns apart. As
    products they have gradients that are the same each time, on every device.
    """
    columns = torch.eye(size)[None, None]
    scaled = functional.interpolate(columns, (enlarged, size), mode=interpolation, align_corners=False)
    return scaled[0, 0]


def network_of(
    looks: Looks, classes: int, weights: Path | None = None, *, architecture: str | None = None
) -> Network:
    """Make a network that looks so, perhaps by another name of its architecture; see `create_network`."""
    return create_network(
        architecture or looks.architecture,
        classes,
        looks.image_size,
        looks.stem,
        weights,
        options=looks.options,
        enlarged=looks.enlarged,
        interpolation=looks.interpolation,
        mean=looks.mean,
        std=looks.std,
    )


def create_network(
    architecture: str,
    classes: int,
    image_size: int,
    stem: str = "timm",
    weights: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    enlarged: int | None = None,
    interpolation: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Network:
    """Make a timm model for `classes` classes and images of side `image_size`, freshly initialised.

    Fresh parameters come from torch's global generator. The stem ``cifar`` is that of the ResNets for images
    of 32×32 pixels: one 3×3 convolution of stride 1, no pooling (He et al. 2016, section 4.2).

    Parameters
    ----------
    weights : a safetensors file with timm's published parameters, which timm itself adapts (the head is
        replaced where the class count differs).
    options : of `timm.create_model`, such as ``{"pad_type": "same"}``.
    enlarged, interpolation : the side to which the network scales its images, and how: else ``bilinear``.
    mean, std : that the channels are normalised with; those that timm has for the architecture if absent.

    Raises
    ------
    UsageError
        If timm has no such architecture.
    DataError
        If the architecture cannot take this image size or stem, among them sizes that its patches do not
        divide, or the weights do not fit it.
    """
    check_architecture(architecture)
    asked: dict[str, Any] = {**(options or {}), "num_classes": classes, "in_chans": CHANNELS}
    if weights is not None:
        file = {"file": str(weights), "custom_load": False}  # custom loaders read formats of before the Hub
        asked |= {"pretrained": True, "pretrained_cfg_overlay": file}
    try:
        default = timm.models.get_pretrained_cfg(architecture)
        if default is not None and default.fixed_input_size:
            asked["img_size"] = enlarged or image_size
        model = timm.create_model(architecture, **asked)
        if stem == "cifar":
            _replace_stem(model)
        scaling = scaling_matrix(image_size, enlarged, interpolation or "bilinear") if enlarged else None
        network = Network(model, mean, std, scaling).eval()
        with torch.inference_mode(), _whole_patches(network):
            network(torch.zeros(2, 3, image_size, image_size))
    except Exception as error:  # timm and torch raise whatever the architecture's code raises
        source = f" with the weights {weights}" if weights else ""
        raise DataError(f"{architecture} at {image_size}×{image_size} pixels{source}: {error}") from error
    return network.to(memory_format=torch.channels_last)


@contextmanager
def _whole_patches(network: Network) -> Iterator[None]:
    """Refuse images whose rim the network would cut off, where its first layer makes patches of them."""

    def check(layer: nn.Conv2d, given: tuple[Tensor, ...]) -> None:
        for side, patch in zip(given[0].shape[2:], layer.kernel_size, strict=True):
            if side % patch:
                below = side // patch * patch
                raise ValueError(
                    f"images are cut into patches of {patch}×{patch} pixels, of which {side} is no multiple: "
                    f"the last {side - below} rows and columns would not be seen; "
                    f"set image_size to {f'{below} or ' if below else ''}{below + patch}"
                )

    patches = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
        and layer.in_channels == CHANNELS
        and layer.kernel_size == layer.stride
        and layer.padding == (0, 0)
    ]
    hooks = [layer.register_forward_pre_hook(check) for layer in patches]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _replace_stem(model: Any) -> None:
    first = getattr(model, "conv1", None)
    if not isinstance(first, nn.Conv2d) or not hasattr(model, "maxpool"):
        raise ValueError("the stem `cifar` takes the place of a ResNet's conv1 and maxpool, which it lacks")
    model.conv1 = nn.Conv2d(first.in_channels, first.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()


@neutral
def check_architecture(architecture: str) -> None:
    """Refuse a name that timm does not know.

    Raises
    ------
    UsageError
        With the nearest names.
    """
    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm.list_models()).partition("there are:")[0]
        raise UsageError(f"timm has no architecture {architecture!r}; {near}see timm.list_models()")


@neutral
def check_images(looks: Looks) -> None:
    """Refuse images that a network cannot take, as far as that is seen of shapes: nothing is computed.

    Raises
    ------
    DataError
        As `create_network`, which also finds what tensors without numbers do not show.
    """
    try:
        with torch.device("meta"):
            network_of(looks, 2)
    except DataError as error:
        if isinstance(error.__cause__, ValueError | TypeError):  # any other may be of tensors without numbers
            raise
