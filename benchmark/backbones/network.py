"""A timm model as the harness sees it: pixels in, logits and penultimate features out."""

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
from benchmark.backbones.device import autocast, batches, device_of, in_batches, moved, on_cpu
from benchmark.backbones.images import Images
from benchmark.backbones.looks import Looks
from benchmark.errors import DataError, UsageError
from methods.head import Head
from methods.names import did_you_mean
from methods.neutral import neutral
from methods.objective import Objective, ObjectiveHead, ObjectiveNeck
from methods.tensors import at_once

CHANNELS = 3
NECK = "neck"  # of the model, so that its parameters are among the weights
HEAD_TOLERANCE = 1e-3  # spec §0.3: max |z - (h W' + b)|, relative to max(1, max |z|)


class Network(nn.Module):
    """A timm model with the preparation of its inputs as first layer.

    ``network(images)`` maps pixels (N, 3, H, W) in [0, 1] to logits (N, K), in float32; with the `precision`
    ``bf16`` it computes them in bfloat16 where that is safe.

    Parameters
    ----------
    mean, std : of the three channels; those that timm has for the model if absent.
    scaling : (S', S) with which images of side S are scaled to S', if at all: see `scaling_matrix`.
    """

    mean: Tensor
    std: Tensor
    scaling: Tensor | None

    def __init__(
        self,
        model: Any,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        scaling: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.precision: str | None = None
        config = model.pretrained_cfg
        for name, values in (("mean", mean or config["mean"]), ("std", std or config["std"])):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scaling", scaling, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        x = self.normalised(images)
        with autocast(x.device, self.precision):
            # The same but for models whose forward does more than these two.
            logits: Tensor = (
                self.model(x)
                if self.neck is None
                else self.model.forward_head(self.necked(self.model.forward_features(x)))
            )
        return logits if self.precision is None else logits.float()

    def penultimate(self, images: Tensor) -> Tensor:
        """(N, D) what the head is given."""
        features: Tensor = self.model.forward_head(
            self.necked(self.model.forward_features(self.normalised(images))), pre_logits=True
        )
        return features

    def maps(self, images: Tensor) -> Tensor:
        """(N, C, H', W') last feature maps before the neck, of a transformer its grid of tokens."""
        return self.grid(self.model.forward_features(self.normalised(images)))

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (N, K) of maps (N, C, H', W') that have passed the neck."""
        logits: Tensor = self.model.forward_head(self._as_the_model_has_them(maps))
        return logits

    def necked(self, last: Tensor) -> Tensor:
        """What the model's `forward_features` gave, after the neck."""
        return last if self.neck is None else self._as_the_model_has_them(self.neck(self.grid(last)))

    @property
    def neck(self) -> ObjectiveNeck | None:
        """What the last feature maps pass before they are pooled."""
        return getattr(self.model, NECK, None)

    @property
    def has_tokens(self) -> bool:
        """Whether the last features are tokens (N, T, C)."""
        return hasattr(self.model, "num_prefix_tokens")

    def grid(self, last: Tensor) -> Tensor:
        """(N, C, H', W') what the model's `forward_features` gave, of a transformer its grid of tokens."""
        if self.has_tokens:
            tokens = last[:, self.model.num_prefix_tokens :].transpose(1, 2)  # (N, C, T)
            return tokens.reshape(*tokens.shape[:2], *self.model.patch_embed.grid_size)
        return last.permute(0, 3, 1, 2) if self._channels_come_last else last

    def _as_the_model_has_them(self, maps: Tensor) -> Tensor:
        if self.has_tokens:  # prefix tokens are not pooled
            return functional.pad(maps.flatten(2).transpose(1, 2), (0, 0, self.model.num_prefix_tokens, 0))
        return maps.permute(0, 2, 3, 1) if self._channels_come_last else maps

    @property
    def _channels_come_last(self) -> bool:
        return getattr(self.model, "output_fmt", "NCHW") == "NHWC"

    @property
    def head(self) -> nn.Module:
        """The last module: penultimate features (N, D) to logits (N, K)."""
        classifier: nn.Module = self.model.get_classifier()
        return classifier

    @property
    def dimension(self) -> int:
        """D, the number of penultimate features."""
        return int(self.model.head_hidden_size or self.model.num_features)

    def adapt(self, objective: Objective, classes: int) -> None:
        """Give the network the head and the neck that an objective wants, freshly initialised.

        Raises
        ------
        DataError
            If the network cannot have them.
        """
        head = objective.head(self.dimension, classes)
        if head is not None:
            self.replace_head(head)
        neck = objective.neck(self.model.num_features, tokens=self.has_tokens)
        if neck is None:
            return
        if self.has_tokens:
            if not hasattr(self.model, "patch_embed") or not hasattr(self.model, "global_pool"):
                raise DataError("an objective's neck needs a grid of tokens, which this network lacks")
            self.model.global_pool = "avg"  # of the grid: a class token would pass the neck by
        self.model.add_module(NECK, neck)

    def replace_head(self, head: ObjectiveHead) -> None:
        """Put an objective's head in the place of the linear one.

        Raises
        ------
        DataError
            If the network does not end in one linear layer.
        """
        name = self.model.pretrained_cfg["classifier"]
        if not isinstance(name, str) or not isinstance(self.head, nn.Linear):
            ends = type(self.head).__name__
            raise DataError(
                f"the network ends in {ends}; an objective's own head takes a linear layer's place"
            )
        self.model.set_submodule(name, head)

    def read_head(self, images: Tensor) -> Head:
        """Read the final layer, and check on `images` that it is linear in the penultimate features.

        Spec §0.3: a head that is not (a convolution, a cosine head, several layers) is marked so, and no
        detector approximates it.
        """
        classifier = self.head
        if isinstance(classifier, ObjectiveHead) and classifier.linear is not None:
            classifier = classifier.linear
        if not isinstance(classifier, nn.Linear):
            return Head.not_linear(f"the final layer is {type(classifier).__name__}, not one linear layer")
        maps = self.necked(self.model.forward_features(self.normalised(images)))
        logits = self.model.forward_head(maps)
        penultimate = self.model.forward_head(maps, pre_logits=True)
        if penultimate.ndim != 2 or penultimate.shape[1] != classifier.in_features:
            return Head.not_linear(f"the penultimate features have shape {tuple(penultimate.shape)}")
        # Of the parameters, not of the layer: a subclass of nn.Linear may do what it likes.
        by_hand = functional.linear(penultimate, classifier.weight, classifier.bias)
        gap = (logits - by_hand).abs().max().item()
        if gap > HEAD_TOLERANCE * max(1.0, logits.abs().max().item()):
            return Head.not_linear(f"the logits are not linear in the penultimate features (by {gap:.2g})")
        bias = None if classifier.bias is None else on_cpu(classifier.bias.detach())
        return Head(on_cpu(classifier.weight.detach()), bias)

    def weights(self) -> dict[str, Tensor]:
        """The model's parameters and buffers, as timm names them."""
        return {name: value.detach().contiguous() for name, value in self.model.state_dict().items()}

    def normalised(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) as the model itself takes them."""
        if self.scaling is not None:
            images = self.scaling @ images @ self.scaling.T
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


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


def load_weights(
    network: Network,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    with_classifier: bool = False,
    partly: bool = False,
) -> dict[str, list[str]]:
    """Load the parameters of another network of the same architecture; classifier and neck stay fresh.

    With `with_classifier` they are loaded too; with `partly` other parameters may be missing. Returns the
    names of what was ``loaded``, what stays ``fresh`` and what was ``unused``.

    Raises
    ------
    DataError
        If anything but classifier and neck is missing or does not fit; with `partly`, if no parameter fits.
    """
    own = network.model.state_dict()
    classifier = network.model.pretrained_cfg["classifier"]
    names = [classifier] if isinstance(classifier, str) else classifier
    prefixes = () if with_classifier else tuple(f"{name}." for name in (*names, NECK))
    fits = {
        name: weights[name]
        for name, value in own.items()
        if not name.startswith(prefixes) and name in weights and weights[name].shape == value.shape
    }
    wrong = [name for name in own if not name.startswith(prefixes) and name not in fits]
    learnt = {name for name, _ in network.model.named_parameters()} & fits.keys()  # counters fit anything
    if (wrong and not partly) or not learnt:
        missing = f"{len(wrong)} of {len(own)} parameters missing or misshapen"
        raise DataError(f"{source}: {missing}, first {wrong[0]}")
    network.model.load_state_dict(fits, strict=False)
    return {
        "loaded": list(fits),
        "fresh": [name for name in own if name not in fits],
        "unused": [name for name in weights if name not in fits],
    }


@torch.inference_mode()
def logits_of(network: Network, images: Tensor | Images) -> Tensor:
    """(N, K) logits of uint8 images (N, 3, H, W), on the CPU wherever the network is."""
    device = device_of(network)

    def logits(batch: Tensor) -> Tensor:
        return on_cpu(network(to_pixels(moved(batch, device))))

    return torch.cat(list(in_batches(logits, batches(images, at_once(images)))))


def to_pixels(images: Tensor) -> Tensor:
    """uint8 images (N, 3, H, W) as floats in [0, 1]."""
    return images.to(torch.float32).div_(255.0)
