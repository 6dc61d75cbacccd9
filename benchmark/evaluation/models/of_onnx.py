"""``onnx:FILE``: a model that onnxruntime runs, on the CPU.

Its logits are its only output, or that which is called ``logits``. Where the graph ends in one linear layer
with constant weights and the package onnx is installed, that is the head, and its input the penultimate
features. Gradients in the image are not to be had.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmark.backbones.device import on_cpu
from benchmark.backbones.network import CHANNELS
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.answers import LOGITS, fitting, logits_in, looks_like, refuse_not_finite
from benchmark.evaluation.models.geometry import Geometry
from benchmark.evaluation.models.heads import tolerance_of
from benchmark.evaluation.models.intake import Intake, Normalise
from benchmark.store.files import sha256_of
from methods.errors import said
from methods.features import Features, Signal
from methods.head import Head

RUNTIME = "onnxruntime"
SIDE = 224  # of images, where neither the file nor the user says
PENULTIMATE = ("penultimate", "features")  # what an output is called that is the head's input
_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
_NO_STAGES = "of an ONNX file's layers nothing is seen"
_PROBES = 4


@dataclass(frozen=True)
class _Input:
    name: str
    dtype: torch.dtype
    batch: int | None  # fixed, or None
    channels: int
    channels_last: bool
    height: int | None
    width: int | None


class OnnxSubject:
    """A `benchmark.evaluation.subject.Subject` that onnxruntime runs."""

    class_names: tuple[str, ...] | None = None
    differentiable: str = "onnxruntime computes no gradients"
    device: torch.device = torch.device("cpu")

    def __init__(self, path: Path, size: int | None, normalise: Normalise | None) -> None:
        self.title = f"onnx:{path.name}"
        self._session = _session(path, path.read_bytes, self.title)
        self._input = _input_of(self._session, self.title)
        notes = []
        if normalise is None:
            normalise = ((0.0,), (1.0,))
            notes.append(
                "an ONNX file does not say how its inputs are normalised: it is shown pixels in [0, 1]; "
                "--mean and --std say otherwise"
            )
        height, width = size or self._input.height or SIDE, size or self._input.width or SIDE
        if size is None and self._input.height is None:
            notes.append(
                f"the file does not say how large images are: they are {SIDE}×{SIDE} pixels; see --size"
            )
        geometry = Geometry((height, width))
        self.prepare: Callable[[Image.Image], Tensor] | None = geometry
        self._intake = Intake(
            self.title, normalise, self._input.channels == 1, self._input.dtype, self.device
        )
        rng = torch.Generator().manual_seed(0)
        probe = self._intake.pixels(torch.rand(_PROBES, CHANNELS, height, width, generator=rng))
        given = fitting(self.title, probe, lambda: self._outputs(probe))
        logits, self._named = _logits_among(given, len(probe), self.title)
        refuse_not_finite(f"{self.title}, shown {len(probe)} probe images", logits)
        self.classes = logits.shape[1]
        self._penultimate = next((name for name in PENULTIMATE if name in given), None)
        self.head, layer = self._find_head(path, probe, logits)
        self.missing: Mapping[Signal, str] = self._missing()
        if warning := looks_like(logits):
            notes.append(warning)
        self.notes: tuple[str, ...] = tuple(notes)
        self.fingerprint = sha256_of(path)
        head = {"layer": layer, "features": self.head.weight.shape[1]} if self.head.is_linear else {}
        self.card: Mapping[str, Any] = {
            "from": "ONNX",
            "file": path.name,
            "architecture": "not known",
            "type": str(self._input.dtype).removeprefix("torch."),
            "input": [self._input.channels, height, width],
            "preprocessing": {
                "mean": [*map(float, normalise[0])],
                "std": [*map(float, normalise[1])],
                "geometry": geometry.described(),
            },
            "head": head or {"reason": self.head.reason},
            "stages": [],
        }

    def features(self, images: Tensor, what: Collection[Signal] = ()) -> Features:
        """See `Subject.features`; raises as `Classifier.features`."""
        found = self._features(self._intake.taken(images))
        refuse_not_finite(self.title, found.logits)
        return found

    def pixels(self, images: Tensor) -> Features:
        """See `Subject.pixels`; it has no gradient."""
        return self._features(self._intake.pixels(images))

    def _features(self, x: Tensor) -> Features:
        given = fitting(self.title, x, lambda: self._outputs(x))
        h = None if self._penultimate is None else given[self._penultimate].flatten(1)
        return Features(_single(given[self._named].flatten(1)), None if h is None else _single(h))

    def _outputs(self, x: Tensor) -> dict[str, Tensor]:
        """What the graph gives of images, by name; of a fixed batch size in pieces, the last filled up."""
        taken = self._input
        array = on_cpu(x.detach()).numpy()
        if taken.channels_last:
            array = array.transpose(0, 2, 3, 1)
        size = taken.batch or max(len(array), 1)
        parts: list[list[Any]] = []
        for start in range(0, max(len(array), 1), size):
            piece = array[start : start + size]
            filled = np.concatenate([piece, np.zeros((size - len(piece), *piece.shape[1:]), piece.dtype)])
            made = self._session.run(None, {taken.name: np.ascontiguousarray(filled)})
            parts.append([one[: len(piece)] for one in made])
        names = [output.name for output in self._session.get_outputs()]
        return {
            name: torch.from_numpy(np.concatenate(pieces))
            for name, pieces in zip(names, zip(*parts, strict=True), strict=True)
            if all(np.issubdtype(piece.dtype, np.floating) for piece in pieces)
        }

    def _find_head(self, path: Path, probe: Tensor, logits: Tensor) -> tuple[Head, str]:
        """The graph's last linear layer, checked by recomputing the logits; and what it is called."""
        try:
            from benchmark.evaluation.models.onnx_heads import linear_end
        except ImportError:
            return Head.not_linear("the package onnx, which reads the graph, is not installed"), ""
        found = linear_end(path, self._named)
        if isinstance(found, str):
            return Head.not_linear(found), ""
        before = self._session
        try:
            self._session = _session(path, found.graph.SerializeToString, self.title)
            given = self._outputs(probe)[found.input].float().flatten(1)
            head = Head(found.weight, found.bias)
            gap = float((given @ head.weight.T + head.bias - logits.float()).abs().max())
        except (DataError, LookupError, ValueError, RuntimeError) as error:
            why = f"the last layer cannot be read: {said(error):.200}"
        else:
            if gap <= tolerance_of(logits.dtype) * float(logits.abs().max()):
                self._penultimate = found.input
                return head, found.name
            why = f"the logits are not linear in the last layer's input (by {gap:.2g})"
        self._session = before
        return Head.not_linear(why), ""

    def _missing(self) -> dict[Signal, str]:
        missing = dict.fromkeys(Signal, _NO_STAGES)
        del missing[Signal.LOGITS]
        if self.head.is_linear:
            del missing[Signal.HEAD]
        else:
            missing[Signal.HEAD] = self.head.reason
        if self._penultimate is not None:
            del missing[Signal.PENULTIMATE]
        else:
            missing[Signal.PENULTIMATE] = self.head.reason
        return missing


def _logits_among(given: Mapping[str, Tensor], images: int, title: str) -> tuple[Tensor, str]:
    """The logits among a graph's outputs, and what they are called."""
    named = [LOGITS] if LOGITS in given else [name for name in given if name not in PENULTIMATE]
    logits = logits_in({name: given[name] for name in named}, images, title)
    flat = {name: given[name].flatten(1) for name in named if given[name].ndim > 1}
    return logits, next(name for name, part in flat.items() if part.shape == logits.shape)


def open_onnx(path: Path, *, size: int | None = None, normalise: Normalise | None = None) -> OnnxSubject:
    """Open an ONNX file; see `benchmark.evaluation.models.open.open_subject`.

    Raises
    ------
    UsageError
        If onnxruntime is not installed, says how to; or there is no such file.
    DataError
        If the file is damaged, or takes no images, or gives no logits.
    """
    if not path.is_file():
        raise UsageError(f"onnx:{path}: there is no such file")
    try:
        importlib.import_module(RUNTIME)
    except ImportError as error:
        raise UsageError(
            f"onnx:{path}: needs onnxruntime, which is not installed: pip install 'oodbench[onnx]'"
        ) from error
    return OnnxSubject(path, size, normalise)


def _session(path: Path, content: Any, title: str) -> Any:
    onnxruntime: Any = importlib.import_module(RUNTIME)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    # Weights beside the file are looked for in its folder.
    with suppress(AttributeError):
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent)
        )
    try:
        return onnxruntime.InferenceSession(content(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds of errors
        raise DataError(
            f"{title}: onnxruntime cannot open it: {said(error):.300}; expected an ONNX file"
        ) from error


def _input_of(session: Any, title: str) -> _Input:
    inputs = session.get_inputs()
    seen = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
    if len(inputs) != 1 or inputs[0].type not in _TYPES or len(inputs[0].shape) != 4:
        raise DataError(f"{title}: takes {seen}; expected one input of floats (N, C, H, W) or (N, H, W, C)")
    one = inputs[0]
    sizes = [side if isinstance(side, int) else None for side in one.shape]
    last = sizes[3] in (1, CHANNELS) and sizes[1] not in (1, CHANNELS)
    channels = sizes[3] if last else sizes[1]
    if channels not in (1, CHANNELS, None):
        raise DataError(f"{title}: takes {seen}; expected images of 1 or {CHANNELS} channels")
    height, width = (sizes[1], sizes[2]) if last else (sizes[2], sizes[3])
    return _Input(one.name, _TYPES[one.type], sizes[0], channels or CHANNELS, last, height, width)


def _single(values: Tensor) -> Tensor:
    return values.float() if values.dtype == torch.float64 else values
