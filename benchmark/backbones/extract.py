"""The one pass: every image of every set goes through a network once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmark.backbones.network import Network, to_pixels
from methods.base import Head

BATCH = 256


@torch.inference_mode()
def extract(network: Network, sets: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Head]:
    """Run `network` over uint8 image sets, each (N, 3, H, W).

    Returns
    -------
    tensors
        ``"<set>.logits"`` (N, K) float32 and, where the head is one linear layer, ``"<set>.penultimate"``
        (N, D) float32.
    head
        The final layer, or the reason why it is not one linear layer.
    """
    network.eval()
    first = next(iter(sets.values()))
    head = network.head(to_pixels(first[:BATCH]))
    linear = head.is_linear
    tensors: dict[str, Tensor] = {}
    for name, images in sets.items():
        parts = [network.features(to_pixels(part), linear=linear) for part in torch.split(images, BATCH)]
        tensors[f"{name}.logits"] = torch.cat([logits for logits, _ in parts])
        if linear:
            tensors[f"{name}.penultimate"] = torch.cat([h for _, h in parts if h is not None])
    return tensors, head
