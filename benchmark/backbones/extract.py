"""The one pass: every image goes through a network once, and what detectors need of it is kept.

Of feature maps only statistics are kept (`methods.statistics`). Results are written batch by batch, so that
memory does not grow with the number of images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from benchmark.backbones.device import autocast, batches, device_of, here, in_batches, moved, on_cpu
from benchmark.backbones.images import Images
from benchmark.backbones.network import Network, to_pixels
from benchmark.store.artifacts import Draft
from benchmark.store.tensors import TensorWriter
from methods.errors import InputError
from methods.features import Features
from methods.head import Head
from methods.objective import ObjectiveHead
from methods.statistics import gram, pooled, rank_one
from methods.tensors import at_once, not_finite

POOLING_TOLERANCE = 1e-4  # by which the penultimate features may differ from the averaged last map, relative


class Tap:
    """Reads everything that a network can give for a batch of images.

    Parameters
    ----------
    network
        Put into eval mode.
    probe
        A few images (N, 3, H, W) in [0, 1], on which it is found out what the network can give.

    Images are taken to the network's device; features come back on the CPU, and the head is there too.
    """

    def __init__(self, network: Network, probe: Tensor) -> None:
        self.network = network.eval()
        probe = moved(probe, device_of(network))
        with torch.no_grad():
            self.head: Head = network.read_head(probe)
            self.stages = stage_indices(network.model)
            self.why_no_rank_one = self._pooling(probe)

    def __call__(self, images: Tensor, *what: str, maps: bool = False) -> Features:
        """Features of images (N, 3, H, W) in [0, 1], differentiable.

        Logits, penultimate features (of a linear head) and pooled stages are always there; ``gram`` and
        ``rank_one`` if they are asked for by name, the stages' maps if `maps`.
        """
        model = self.network.model
        found, last = [], None
        x = self.network.normalised(moved(images, device_of(self.network)))
        classifier = self.network.head
        penultimate: Tensor | None = None
        outputs: Tensor | None = None
        with autocast(x.device, self.network.precision):
            if self.stages:
                last, found = model.forward_intermediates(x, indices=self.stages)
            else:
                last = model.forward_features(x)
            last = self.network.necked(last)
            if self.head.is_linear or isinstance(classifier, ObjectiveHead):
                penultimate = model.forward_head(last, pre_logits=True)
            else:
                logits = model.forward_head(last)
        if self.network.precision is not None:
            # From here on in float32: the logits are those of the head and of the features that are kept.
            found, last = [m.float() for m in found], last.float()
            penultimate = None if penultimate is None else penultimate.float()
        if penultimate is not None:
            logits = classifier(penultimate)
        if isinstance(classifier, ObjectiveHead) and penultimate is not None:
            outputs = classifier.outputs(penultimate)
        return Features(
            on_cpu(logits),
            None if penultimate is None else on_cpu(penultimate),
            outputs=on_cpu(outputs) if outputs is not None and outputs.shape[1] else None,
            stages=[on_cpu(pooled(m)) for m in found] or None,
            gram=[on_cpu(gram(m)) for m in found] or None if "gram" in what else None,
            rank_one=on_cpu(rank_one(self.network.grid(last)))
            if "rank_one" in what and not self.why_no_rank_one
            else None,
            maps=[on_cpu(m) for m in found] or None if maps else None,
        )

    def _pooling(self, probe: Tensor) -> str:
        """Why the last map's components are no parts of the penultimate features; empty if they are."""
        if not self.head.is_linear:
            return self.head.reason
        model = self.network.model
        last = self.network.necked(model.forward_features(self.network.normalised(probe)))
        if last.ndim != 4:
            return "the network ends in tokens and not in a feature map"
        averaged, penultimate = pooled(self.network.grid(last)), model.forward_head(last, pre_logits=True)
        if averaged.shape != penultimate.shape or not torch.allclose(
            averaged, penultimate, rtol=POOLING_TOLERANCE, atol=POOLING_TOLERANCE * penultimate.abs().max()
        ):
            return "the penultimate features are not the average of the last feature map"
        return ""


def stage_indices(model: Any) -> list[int]:
    """Which intermediate outputs are the stages: the last four, or those at quarters of the depth.

    Empty where timm cannot tell for this architecture.
    """
    info = list(getattr(model, "feature_info", None) or ())
    if not info or not hasattr(model, "forward_intermediates"):
        return []
    depth = len(info)
    if len({stage["reduction"] for stage in info}) == 1:  # isotropic: transformers
        return sorted({max(0, depth * (i + 1) // 4 - 1) for i in range(4)})
    return list(range(max(0, depth - 4), depth))


@torch.inference_mode()
def extract(
    tap: Tap, parts: Mapping[str, Tensor | Images], labels: Mapping[str, Tensor], drafts: Mapping[str, Draft]
) -> None:
    """Run a network once over the parts of one image set.

    Parameters
    ----------
    tap
        Of the network.
    parts, labels
        uint8 images (N, 3, S, S) by part, and labels (N,) where there are any.
    drafts
        What to write where: ``base`` (logits, penultimate features, pooled stages, labels), ``gram``,
        ``rank_one``. Tensors are named ``<part>.<signal>`` and ``<part>.<signal>.<stage>``, in float32.

    Raises
    ------
    InputError
        If features are NaN or infinite: names the part, and says of how many images.
    """
    statistics = tuple(what for what in drafts if what != "base")
    writers: dict[str, TensorWriter] = {}

    def of(batch: Tensor) -> dict[str, dict[str, Tensor]]:
        return _by_artifact(tap(to_pixels(moved(batch, here())), *statistics))

    with ExitStack() as stack:
        for part, images in parts.items():
            bad: list[Tensor] = []

            for found in in_batches(of, batches(images, at_once(images))):
                bad.append(_not_finite(len(found["base"]["logits"]), (found[what] for what in drafts)))
                for what, draft in drafts.items():
                    if what not in writers:
                        layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
                            f"{p}.{name}": (tensor.dtype, (len(parts[p]), *tensor.shape[1:]))
                            for p in parts
                            for name, tensor in found[what].items()
                        }
                        if what == "base":
                            layout |= {f"{p}.labels": (t.dtype, tuple(t.shape)) for p, t in labels.items()}
                        writers[what] = stack.enter_context(draft.rows("features", layout))
                    for name, tensor in found[what].items():
                        writers[what].append(f"{part}.{name}", tensor)
            _refuse(part, list(drafts), torch.cat(bad))
        for part, tensor in labels.items() if "base" in writers else ():
            writers["base"].append(f"{part}.labels", tensor)


def _not_finite(images: int, found: Iterable[Mapping[str, Tensor]]) -> Tensor:
    """Which images of a batch have features that are NaN or infinite: (N,)."""
    bad = torch.zeros(images, dtype=torch.bool)
    for tensors in found:
        for tensor in tensors.values():
            bad |= not_finite(tensor)
    return bad


def _refuse(part: str, what: list[str], bad: Tensor) -> None:
    if bad.any():
        raise InputError(
            f"image set {part!r}: the features ({', '.join(what)}) of {int(bad.sum())} of {len(bad)} images "
            f"are NaN or infinite, the first of image {int(bad.nonzero()[0])}; the network may have diverged"
        )


def _by_artifact(found: Features) -> dict[str, dict[str, Tensor]]:
    """Tensors by the artifact that they belong to, then by name."""
    named = {
        f"{signal}.{i}" if signal in ("stages", "gram") else signal: tensor
        for signal, tensors in found.collected().items()
        for i, tensor in enumerate(tensors)
    }
    artifacts: dict[str, dict[str, Tensor]] = {"base": {}, "gram": {}, "rank_one": {}}
    for name, tensor in named.items():
        home = name.partition(".")[0]
        artifacts[home if home in artifacts else "base"][name] = tensor
    return artifacts
