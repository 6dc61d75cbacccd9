"""``hf:REPO-OR-FOLDER``: an image classifier of transformers, with its image processor.

Nothing is fetched here: it is a folder, a folder of the mirror, or lies in the Hub's cache on this machine.
Weights are safetensors, and no code of a repository is run.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmark.datasets.mirror import mirror_folder
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.classifier import Classifier, subject_of
from benchmark.evaluation.models.geometry import Geometry, noise_pictures
from benchmark.evaluation.models.intake import Normalise
from methods.errors import said

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls classes without names
AGREE = 1e-4  # by which our normalisation may differ from the processor's


@dataclass(frozen=True)
class Pixels:
    """The geometry of an image processor: uint8 (3, H, W), neither rescaled nor normalised."""

    processor: Any

    def __call__(self, image: Image.Image) -> Tensor:
        """uint8 pixels of a picture."""
        made = _processed(self.processor, image, do_rescale=False, do_normalize=False)
        return made if made.dtype == torch.uint8 else made.round().clamp(0, 255).to(torch.uint8)

    def described(self) -> str:
        """The processor and its sizes."""
        sizes = {name: getattr(self.processor, name, None) for name in ("size", "crop_size")}
        told = ", ".join(f"{name} {dict(value)}" for name, value in sizes.items() if value)
        return f"{type(self.processor).__name__}: {told or 'sizes as they are'}"


@dataclass(frozen=True)
class Whole:
    """All that an image processor does: floats, as the model takes them."""

    processor: Any

    def __call__(self, image: Image.Image) -> Tensor:
        """Floats (3, H, W) of a picture."""
        return _processed(self.processor, image).float()

    def described(self) -> str:
        """The processor."""
        return type(self.processor).__name__


def open_hub_model(
    place: str,
    *,
    layers: Sequence[str] | None = None,
    device: torch.device | str | None = None,
    size: int | None = None,
    normalise: Normalise | None = None,
) -> Classifier:
    """Open a classifier of transformers; see `benchmark.evaluation.models.open.open_subject`.

    Raises
    ------
    UsageError
        If transformers is not installed; says how to.
    DataError
        If there is no such model here, it is no image classifier, or its weights are incomplete.
    """
    transformers = _transformers(place)
    folder, source = _found(place)
    model, processor = _loaded(place, folder, transformers)
    prepare, known, notes = _preparation(processor)
    if size is not None:
        prepare = Geometry((size, size))
    if normalise is not None:
        known = normalise
        prepare = prepare if isinstance(prepare, Geometry | Pixels) else Pixels(processor)
    if isinstance(prepare, Geometry) and known is None:
        raise UsageError(f"hf:{place}: its normalisation is not plain; with --size give --mean and --std too")
    names = [model.config.id2label.get(i, "") for i in range(int(model.config.num_labels))]
    subject = subject_of(
        model,
        probe=torch.stack([prepare(picture) for picture in noise_pictures()]),
        prepare=prepare,
        normalise=known,
        class_names=None if all(map(_UNNAMED.fullmatch, names)) else names,
        layers=layers,
        device=device,
        title=f"hf:{place}",
        about={**source, "processor": type(processor).__name__},
    )
    subject.notes = (*notes, *subject.notes)
    return subject


def _found(place: str) -> tuple[str, dict[str, str]]:
    """The folder of a model, perhaps in the mirror or in the Hub's cache; and what the card says of it.

    Raises
    ------
    DataError
        If it lies in none of these; says how to get it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if Path(place).is_dir():
        return place, {"from": "a folder"}
    if not _REPOSITORY.fullmatch(place):
        raise UsageError(f"hf:{place}: there is no such folder, and it is no name of a repository")
    mirrored = mirror_folder() / place
    if mirrored.is_dir():
        return str(mirrored), {"from": "the mirror", "repository": place}
    try:
        folder = Path(snapshot_download(place, local_files_only=True))
    except (LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"hf:{place}: is not on this machine: with a network run `hf download {place}`, which puts it "
            f"into the Hub's cache (HF_HOME), or put its files into the mirror, {mirrored}"
        ) from error
    return str(folder), {"from": "the Hub's cache", "repository": place, "revision": folder.name}


def _transformers(place: str) -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            f"hf:{place}: needs transformers, which is not installed: pip install 'oodbench[transformers]'"
        ) from error


def _loaded(place: str, folder: str, transformers: Any) -> tuple[Any, Any]:
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet(transformers):
            processor = transformers.AutoImageProcessor.from_pretrained(folder, **here)
            model, told = transformers.AutoModelForImageClassification.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **here
            )
    except Exception as error:  # of transformers, which raises what it likes
        reason = (said(error).splitlines() or [""])[0]
        raise DataError(
            f"hf:{place}: cannot be opened: {type(error).__name__}: {reason:.300}; expected "
            "config.json, preprocessor_config.json and model.safetensors of an image classifier"
        ) from error
    faults = [*told["missing_keys"], *(str(one) for one in told.get("mismatched_keys", ()))]
    if faults:
        raise DataError(
            f"hf:{place}: {len(faults)} weights are missing or of another shape, first {faults[0]}: it is no "
            f"fine-tuned {type(model).__name__}; expected the weights of all its layers"
        )
    assert isinstance(model, nn.Module)
    return model.eval(), processor


def _preparation(
    processor: Any,
) -> tuple[Callable[[Image.Image], Tensor], Normalise | None, tuple[str, ...]]:
    """Geometry and normalisation apart, if these two make what the processor makes of pictures."""
    scale = 255 * float(processor.rescale_factor) if getattr(processor, "do_rescale", False) else 255.0
    plain = not getattr(processor, "do_normalize", False)
    mean = np.zeros(3) if plain else np.atleast_1d(np.asarray(processor.image_mean, float))
    std = np.ones(3) if plain else np.atleast_1d(np.asarray(processor.image_std, float))
    # (scale p - mean) / std = (p - mean / scale) / (std / scale)
    mean, std = mean / scale, std / scale
    pixels, whole = Pixels(processor), Whole(processor)
    for picture in noise_pictures(1):
        expected = whole(picture)
        column = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std))
        found = pixels(picture).float() / 255
        centre, spread = column
        if found.shape != expected.shape or not torch.allclose(
            (found - centre) / spread, expected, rtol=AGREE, atol=AGREE
        ):
            note = "the image processor normalises in a way of its own: image gradients are of its output"
            return whole, None, (note,)
    return pixels, (mean.tolist(), std.tolist()), ()


def _processed(processor: Any, image: Image.Image, **options: bool) -> Tensor:
    made: Tensor = processor(images=image.convert("RGB"), return_tensors="pt", **options)["pixel_values"][0]
    return made


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without its bars of progress and its warnings: what is wrong with weights is an error here."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
