"""A timm model as the harness sees it: pixels in, logits and penultimate features out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import benchmark.backbones.models  # noqa: F401 - registers them
from benchmark.backbones.device import autocast, batches, device_of, in_batches, moved, on_cpu
from benchmark.backbones.images import Images
from benchmark.errors import DataError
from methods.head import Head
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
