"""Which network it is: a hash of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmark.backbones.device import on_cpu


def fingerprint_of(weights: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of tensors: their names, types, shapes and bytes, in the order of the names.

    The same on every device. What is no tensor, such as the extra state of a module, is passed over.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        if isinstance(value, Tensor):
            kind = str(value.dtype).removeprefix("torch.")
            digest.update(f"{len(name)} {name} {kind} {tuple(value.shape)}\n".encode())
            plain = on_cpu(value.detach()).contiguous().flatten().view(torch.uint8)
            digest.update(plain.numpy().data)
    return digest.hexdigest()
