"""A model of images and text as a classifier of named classes, without training: zero-shot.

The texts of the classes are embedded once and become the last layer, so that what is left is an image model
like any other: `benchmark.backbones.network.Network` and `benchmark.backbones.extract.Tap` take it, and with
them every detector of logits, of penultimate features and of the last layer. Models come from open_clip,
which the extra ``oodbench[clip]`` installs; no job of the harness makes one, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn
from torch.nn import functional

from benchmark.backbones.device import device_of, moved
from benchmark.backbones.network import CHANNELS
from benchmark.errors import DataError, UsageError
from methods.names import did_you_mean
from methods.tensors import BATCH

TEMPLATES = ("a photo of a {}.",)  # of CLIP; its name stands for the class's
PLACE = "{}"
SAFE = ".safetensors"
CONFIG, WEIGHTS = "open_clip_config.json", f"open_clip_model{SAFE}"  # of a folder as the Hub has it
TOWER_OF_HUB, TOKENIZER_OF_HUB = "hf_model_name", "hf_tokenizer_name"  # in a text_cfg

Tokenizer = Callable[[list[str]], Tensor]


class ImageTextModel(Protocol):
    """A model of open_clip, as far as it is used here."""

    visual: nn.Module
    logit_scale: Tensor

    def encode_text(self, text: Tensor) -> Tensor:
        """Embeddings (N, D) of tokens (N, L)."""

    def eval(self) -> Any:
        """Put it into eval mode."""


class ZeroShot(nn.Module):
    r"""Classifies images by the named classes whose texts are nearest (Radford et al. 2021, section 3.1).

    .. math::
        h = \frac{f(x)}{\lVert f(x) \rVert}, \qquad
        t_k = \frac{\bar t_k}{\lVert \bar t_k \rVert}, \quad
        \bar t_k = \frac{1}{P} \sum_p \frac{g(x_{pk})}{\lVert g(x_{pk}) \rVert}, \qquad
        z_k = e^a \langle h, t_k \rangle

    with f and g the model's image and text towers, :math:`x_{pk}` the template p filled in with the name of
    class k, and :math:`e^a` its learnt scale. The penultimate features h (N, D) have length 1; the last layer
    has the weight :math:`e^a t_k` and no bias. A model's bias of the logits, which SigLIP has, is one number
    for all classes and is left out.

    Takes images (N, 3, S, S) as the model was trained on them; `Network(model)` puts their normalisation in
    front, and scales images of another size where it is given a `scaling`. The interface is that of a timm
    model. The image tower is the model's own, not a copy; the model is put into eval mode, and its text tower
    not kept.

    Parameters
    ----------
    model
        Of open_clip, on any device, in float32.
    tokenizer
        That of the model: texts to tokens (N, L).
    classes
        K names, in the order of the labels.
    templates
        P texts with ``{}`` where the name goes. Their normalised embeddings are averaged.

    Raises
    ------
    UsageError
        If a name or a template is missing, is no text, or has no place for the name, or two classes are the
        same text to the model.
    DataError
        If the model is of another kind or precision.
    """

    def __init__(
        self,
        model: ImageTextModel,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        templates: Sequence[str] = TEMPLATES,
    ) -> None:
        super().__init__()
        _check_model(model)
        texts = text_matrix(model, tokenizer, classes, templates)
        weight = model.logit_scale.detach().exp().reshape(()) * texts
        self.visual = model.visual
        self.num_features = self.head_hidden_size = weight.shape[1]
        self.head = nn.Linear(weight.shape[1], len(weight), bias=False, device="meta")
        self.head.weight = nn.Parameter(weight)
        self.pretrained_cfg = _looks(self.visual)
        self.eval()
        self.feature_info = self._stages()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, D) embeddings, as the image tower gives them."""
        self._check_size(images)
        return _embeddings(self.visual(images))

    def forward_head(self, embeddings: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (N, K) of embeddings (N, D), or with `pre_logits` these at length 1."""
        h = functional.normalize(embeddings, dim=1)
        logits: Tensor = h if pre_logits else self.head(h)
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def forward_intermediates(
        self, images: Tensor, indices: list[int] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """(N, D) embeddings, and the maps (N, C, H, W) of the image tower's blocks, or of some."""
        self._check_size(images)
        found: dict[str, Any] = self.visual.forward_intermediates(  # type: ignore[operator]
            images, indices=indices, output_fmt="NCHW"
        )
        return _embeddings(found["image_features"]), found["image_intermediates"]

    def _check_size(self, images: Tensor) -> None:
        expected = self.pretrained_cfg["input_size"]
        if images.shape[1:] != expected:
            raise DataError(
                f"images: expected shape (N, {', '.join(map(str, expected))}), got {tuple(images.shape)}; "
                "Network scales them to the size of the model where it is given a scaling"
            )

    def _stages(self) -> list[dict[str, Any]]:
        """What timm says of each block of a tower: found out on one image. Empty where a tower tells none."""
        tower = self.visual
        if not all(hasattr(m, "forward_intermediates") for m in (tower, getattr(tower, "trunk", tower))):
            return []
        blank = moved(torch.zeros(1, *self.pretrained_cfg["input_size"]), device_of(self))
        with torch.no_grad():
            _, maps = self.forward_intermediates(blank)
        return [
            {"num_chs": m.shape[1], "reduction": blank.shape[3] // m.shape[3], "module": f"block {i}"}
            for i, m in enumerate(maps)
        ]


@torch.no_grad()
def text_matrix(
    model: ImageTextModel,
    tokenizer: Tokenizer,
    classes: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """(K, D) float32 embeddings of the classes, each of length 1, on the model's device: see `ZeroShot`.

    The model is put into eval mode.

    Raises
    ------
    UsageError
        As `ZeroShot`.
    """
    names, forms = _texts("classes", classes), _texts("templates", templates)
    if placeless := [form for form in forms if PLACE not in form]:
        raise UsageError(f"templates: {placeless[0]!r} has no {PLACE} for the name of a class")
    model.eval()
    device = device_of(model)  # type: ignore[arg-type]
    at_once = max(1, BATCH // len(forms))  # classes
    seen: dict[bytes, int] = {}
    found = []
    for start in range(0, len(names), at_once):
        part = names[start : start + at_once]
        tokens = tokenizer([form.replace(PLACE, name) for name in part for form in forms])
        for k, own in enumerate(tokens.reshape(len(part), -1), start):
            other = seen.setdefault(own.numpy().tobytes(), k)
            if other != k:
                raise UsageError(
                    f"classes: {names[other]!r} (class {other}) and {names[k]!r} (class {k}) are one text to "
                    "the model, which cannot tell them apart; give them names that differ"
                )
        embedded = functional.normalize(model.encode_text(moved(tokens, device)).float(), dim=1)
        found.append(embedded.reshape(len(part), len(forms), -1).mean(dim=1))
    return functional.normalize(torch.cat(found), dim=1)


def load_clip(source: str | Path, weights: str | Path | None = None) -> tuple[ImageTextModel, Tokenizer]:
    """Load a model of open_clip and its tokenizer from files that are here; nothing is downloaded.

    Parameters
    ----------
    source
        The name of an architecture of open_clip, such as ``ViT-B-32-quickgelu``, and then `weights` too; or a
        folder as the Hub has it, with ``open_clip_config.json`` and ``open_clip_model.safetensors``. What an
        architecture does not show in the shapes of its weights is not checked, such as the activation
        (``-quickgelu`` for OpenAI's) and the normalisation of images; a folder tells both.
    weights
        A safetensors file.

    Raises
    ------
    UsageError
        If open_clip is not installed, has no such architecture, or `weights` is missing or too much.
    DataError
        If the files are not there, are no safetensors, or do not fit; or if the text tower or the tokenizer
        is one that open_clip asks the Hub for.
    """
    open_clip = _open_clip()
    if Path(source).is_dir():
        name, file = _folder(source, weights), None
        of_the_hub = [TOWER_OF_HUB]  # a tokenizer's files lie in the folder
    else:
        name, file = _architecture(open_clip, str(source)), _safetensors(source, weights)
        of_the_hub = [TOWER_OF_HUB, TOKENIZER_OF_HUB]
    try:
        _refuse(of_the_hub, open_clip.get_model_config(name))
        model = open_clip.create_model(name, pretrained=file, require_pretrained=True)
        return model, open_clip.get_tokenizer(name)
    except Exception as error:  # open_clip and torch raise whatever the architecture's code raises
        raise DataError(f"{source}{f' with the weights {weights}' if weights else ''}: {error}") from error


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise UsageError(
            f"models of images and text come from open_clip, which cannot be imported ({error}); "
            "pip install 'oodbench[clip]'"
        ) from error
    return open_clip


def _folder(source: str | Path, weights: str | Path | None) -> str:
    if weights is not None:
        raise UsageError(f"weights: {source} is a folder with weights of its own; leave out {weights}")
    for part in (CONFIG, WEIGHTS):  # open_clip would also take weights of other formats
        if not (Path(source) / part).is_file():
            raise DataError(f"{source}: there is no {part} in this folder")
    return f"local-dir:{source}"


def _architecture(open_clip: Any, name: str) -> str:
    if name not in open_clip.list_models():
        near = did_you_mean(name, open_clip.list_models()).partition("there are:")[0]
        known = f"{near}see open_clip.list_models()"
        raise UsageError(f"{name!r} is neither a folder nor an architecture of open_clip; {known}")
    return name


def _safetensors(source: str | Path, weights: str | Path | None) -> str:
    if weights is None:
        raise UsageError(f"weights: {source} is an architecture; give a {SAFE} file with its weights too")
    if Path(weights).suffix != SAFE:
        raise DataError(f"{weights}: expected a {SAFE} file; no other format is read")
    if not Path(weights).is_file():
        raise DataError(f"{weights}: there is no such file")
    return str(weights)


def _refuse(keys: Sequence[str], config: Any) -> None:
    """Refuse a model of whose config a key names what open_clip would ask the Hub for."""
    for key in keys:
        if value := config.get("text_cfg", {}).get(key):
            raise ValueError(
                f"its text_cfg has {key} = {value!r}, which open_clip asks the Hub for; make model and "
                "tokenizer with open_clip, and give both to ZeroShot"
            )


def _check_model(model: Any) -> None:
    for part in ("visual", "encode_text", "logit_scale"):
        if not hasattr(model, part):
            raise DataError(f"model: expected one of open_clip, got {type(model).__name__}, without {part!r}")
    kinds = {str(p.dtype) for p in model.parameters() if p.is_floating_point()} - {"torch.float32"}
    if kinds:
        raise DataError(f"model: expected parameters in torch.float32, got {', '.join(sorted(kinds))} too")


def _looks(tower: Any) -> dict[str, Any]:
    """What timm says of a model's input, and what its last layer is called."""
    config = getattr(tower, "preprocess_cfg", None) or {}
    size = config.get("size") or getattr(tower, "image_size", None)
    if size is None:
        raise DataError("model: its image tower tells no image_size")
    height, width = (size, size) if isinstance(size, int) else size
    return {
        "mean": tuple(config.get("mean") or OPENAI_CLIP_MEAN),
        "std": tuple(config.get("std") or OPENAI_CLIP_STD),
        "input_size": (CHANNELS, height, width),
        "classifier": "head",
    }


def _embeddings(found: Any) -> Tensor:
    """What an image tower gives, without the tokens that some give too."""
    embeddings: Tensor = found[0] if isinstance(found, tuple) else found
    return embeddings


def _texts(argument: str, texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise UsageError(f"{argument}: expected a list of texts, got the one text {texts!r}")
    found = list(texts)
    if not found:
        raise UsageError(f"{argument}: expected at least one, got none")
    for i, text in enumerate(found):
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{argument}[{i}]: expected a text, got {text!r}")
    return found
