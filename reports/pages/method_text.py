"""What a method says of itself as blocks of a page, and how it is used from Python.

This module must not know any record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from benchmark.records.record import NAME
from methods.cards import MethodCard, cards, moves_images
from reports.console.docstrings import MarkedDoc, plain_text, read_marked
from reports.site.sections import Block, Maths, Paragraph
from reports.site.text import Formula, Link, Piece, Text, code, strong

FOLDER = "methods"
_MARK = re.compile(
    r":math:`(?P<math>[^`]*)`|:[a-z:]+:`~?(?P<role>[^`]*)`|``(?P<literal>.+?)``|`(?P<name>[^`]+)`(?:_+)?"
    r"|\*\*(?P<strong>\S(?:.*?\S)?)\*\*"
)
_LEADS = "Complexity|Cost|Deviations from the paper|Differs from|Shapes|Where references disagree"
_LEAD = re.compile(rf"(?:{_LEADS}): ")
_BEFORE_LEAD = re.compile(rf"(?<=\.) (?=(?:{_LEADS}): )")
_ARXIV = re.compile(r"[\w.-]+(?:/\d+)?")
_SPOKEN_OF = {  # the families whose methods a docstring may name besides its own
    "detectors": ("objectives",),
    "objectives": ("detectors", "attacks", "corrections"),
    "corrections": ("objectives", "detectors"),
}
_MADE_OF = {  # what `Features` is given for a signal, by position or by name
    "stages": "stages=stages",
    "gram": "gram=gram",
    "rank_one": "rank_one=rank_one",
    "maps": "maps=maps",
    "log_variances": "log_variances=log_variances",
    "outputs": "outputs=outputs",
}
_WORDS = {  # of what a method needs
    "head": "final linear layer",
    "penultimate": "penultimate features",
    "stages": "features of the stages",
    "gram": "Gram statistics of the stages",
    "rank_one": "leading component of the last feature map",
    "maps": "feature maps of the stages",
    "log_variances": "variance heads in the layers",
    "outputs": "a head of its objective",
    "unlabelled": "unlabelled images, some of them outliers",
}


def path_of(family: str, name: str) -> str:
    """The page of a method."""
    return f"{FOLDER}/{family}/{name}"


def spoken(family: str, *, several: bool) -> str:
    """What a method of a family is called, or the family."""
    name = family.replace("_", " ")
    return name if several else name.removesuffix("s")


@cache
def doc_of(card: MethodCard) -> MarkedDoc:
    """What its docstring says, with its markup."""
    return read_marked(card.doc)


def summary_of(card: MethodCard) -> str:
    """The first sentence of its docstring; empty where there is none."""
    return plain_text(doc_of(card).summary)


def needs_of(card: MethodCard) -> str:
    """What it needs, in words."""
    given = ["labelled ID images"] if card.family in ("objectives", "corrections") else []
    return ", ".join([*given, *(_WORDS.get(need, need) for need in card.needs)])


def paper_of(card: MethodCard) -> Text:
    """Where it was published, with a link where arXiv has it; empty where that is not said."""
    paper = card.paper
    if paper is None:
        return ""
    text = f"{paper.authors}: “{paper.title}”, {paper.venue} {paper.year}"
    if paper.arxiv is None:
        return f"{text}."
    name = f"arXiv:{paper.arxiv}"
    known = _ARXIV.fullmatch(paper.arxiv)
    return (f"{text}, ", Link(name, url=f"https://arxiv.org/abs/{paper.arxiv}") if known else name, ".")


def body_of(card: MethodCard) -> tuple[Block, ...]:
    """The docstring without its summary and what it says of parameters; formulas stay LaTeX."""
    blocks: list[Block] = []
    for text, formula in doc_of(card).body:
        if formula:
            blocks.append(Maths(text))
        else:
            blocks += [Paragraph(_led(part, card)) for part in _BEFORE_LEAD.split(text)]
    return tuple(blocks)


def _led(text: str, card: MethodCard) -> Text:
    """A paragraph whose subject stands out where it begins with it."""
    lead = _LEAD.match(text)
    if lead is None:
        return marked(text, card)
    rest = marked(text[lead.end() :], card)
    return (strong(lead[0].strip()), " ", *((rest,) if isinstance(rest, str) else rest))


def marked(text: str, card: MethodCard) -> Text:
    """Marked text as pieces; the names of other methods lead to their pages."""
    found: list[Piece] = []
    at = 0
    for mark in _MARK.finditer(text):
        found += [text[at : mark.start()], _piece(mark, card)]
        at = mark.end()
    return tuple(piece for piece in (*found, text[at:]) if piece != "")


def _piece(mark: re.Match[str], card: MethodCard) -> Piece:
    kind, text = str(mark.lastgroup), mark[str(mark.lastgroup)]
    if kind == "math":
        return Formula(text)
    if kind == "strong":
        return strong(text)
    if kind == "name" and text not in doc_of(card).parameters:
        family = next((f for f in (card.family, *_SPOKEN_OF.get(card.family, ())) if text in cards(f)), None)
        if family is not None and text != card.name:
            return Link(text, path_of(family, text))
    return code(text)


@dataclass(frozen=True)
class Use:
    """How a method is used: lines of Python, or of a shell, and what stands for what in them."""

    lines: tuple[str, ...]
    about: str = ""

    @property
    def text(self) -> str:
        """The lines."""
        return "\n".join(self.lines)


_OTHERS = {  # by family: lines of Python, and what stands for what
    "attacks": Use(
        (
            "from oodbench import attack",
            "",
            'attacked = attack("{name}").perturb(network, images, labels)',
        ),
        "`network` gives logits (N, K) of images (N, 3, H, W) with pixels in [0, 1], in eval mode and with "
        "the normalisation inside; `labels` are class indices (N,).",
    ),
    "noise_models": Use(
        (
            "import torch",
            "from methods.registry import noise_model",
            "",
            'observed, matrix = noise_model("{name}").draw(labels, classes, 0.4, torch.Generator())',
        ),
        "`labels` are class indices (N,), `classes` is their number; 0.4 is the strength of the noise. "
        "`matrix` is (K, K): row i is the distribution of the observed labels of true class i.",
    ),
    "profiles": Use(
        (
            "from methods.registry import profile",
            "",
            'counts = profile("{name}").counts(classes=10, largest=5000)',
        ),
        "`counts` are images of each class, the largest class first.",
    ),
    "samplers": Use(
        (
            "import torch",
            "from methods.registry import sampler",
            "",
            'sampling, rng = sampler("{name}"), torch.Generator()',
            "images, labels = sampling.resampled(images, labels, rng)",
            "rows = sampling.epoch(labels, rng)",
        ),
        "`images` are (N, 3, H, W) of type uint8, `labels` class indices (N,); `rows` are those that an "
        "epoch shows, in their order.",
    ),
}


def use_of(card: MethodCard, entries: list[str], studies: list[tuple[str, str]]) -> Use | None:
    """How it is used; of an objective how a network is trained by it, None where nothing does that."""
    if card.family == "detectors":
        return _detector(card) if card.source else None
    if card.family in _OTHERS:
        use = _OTHERS[card.family]
        return Use(tuple(line.format(name=card.name) for line in use.lines), use.about)
    named = next((f"--entry {entry}" for entry in entries if NAME.fullmatch(entry)), None)
    named = named or next((f"--track {track} --study {study}" for track, study in studies), None)
    return None if named is None else Use((f"oodbench run --full {named}",))


def _detector(card: MethodCard) -> Use:
    moves, several = moves_images(card), "EnsembleDetector" in card.bases
    names = ["Features", *(["Head"] if "head" in card.fits else []), "detector"]
    lines = ["import torch"] if "rng" in card.fits else []
    lines += [f"from oodbench import {', '.join(names)}", ""]
    if moves:
        lines.append(f"network = lambda images: {_features(card, star='model(images)')}")
    if card.fits:
        lines += [
            f"{name} = {_features(card, f'{name}_')}" for name in ("train", "val") if _given(name, card)
        ]
        lines.append(f'fitted = detector("{card.name}").fit({", ".join(_arguments(card))})')
    else:
        lines.append(f'fitted = detector("{card.name}")')
    if card.attributes.get("calibrates") and moves:
        lines.append("fitted = fitted.calibrated(fitted.calibration(network, val_images))")
    if moves:
        lines.append("scores = fitted.score_images(network, images)")
    elif several:
        lines.append("scores = fitted.score([Features(z) for z in logits])")
    else:
        lines.append(f"scores = fitted.score({_features(card)})")
    return Use(tuple(_joined(lines)), " ".join(_about(card, moves, several)))


def _joined(lines: list[str]) -> list[str]:
    """Without the name of a detector that is used once."""
    made, scored = lines[-2:]
    if made.startswith('fitted = detector("') and made.endswith('")'):
        lines = [*lines[:-2], scored.replace("fitted", made.removeprefix("fitted = "), 1)]
    return lines


def _given(name: str, card: MethodCard) -> bool:
    """Whether `fit` is given it; training images always are."""
    return name == "train" or name in card.fits


def _arguments(card: MethodCard) -> Iterator[str]:
    yield "train"
    if "val" in card.fits:
        yield "val"
    if "head" in card.fits:
        yield "Head(weight, bias)" if "val" in card.fits else "head=Head(weight, bias)"
    if "rng" in card.fits:
        yield "rng=torch.Generator()"


def _features(card: MethodCard, of: str = "", star: str = "") -> str:
    """The call that makes features: of images of a part such as ``train_``, or of what a model gives."""
    wide = bool({"penultimate", "head"} & {*card.needs})
    others = [_MADE_OF[need] for need in card.needs if need in _MADE_OF]
    if star:
        given = [f"*{star}"] if wide else [star]
        return f"Features({', '.join([*given, *(f'{name}(images)' for name in others)])})"
    given = [f"{of}logits", *([f"{of}features"] if wide else [])]
    given += [name.replace("=", f"={of}") for name in others]
    if of:
        given.append(f"labels={of}labels")
    return f"Features({', '.join(given)})"


def _about(card: MethodCard, moves: bool, several: bool) -> Iterator[str]:
    wide = bool({"penultimate", "head"} & {*card.needs})
    yield "Scores are higher for images that are more in-distribution."
    if moves:
        gives = "logits (N, K) and penultimate features (N, D)" if wide else "logits (N, K)"
        yield f"`model` gives {gives} of images (N, 3, H, W) with pixels in [0, 1], normalised inside."
    elif several:
        yield "`logits` are those of each network for the same images, (N, K) each."
    elif wide:
        yield "Logits are (N, K), features (N, D) what the final layer is given."
    else:
        yield "Logits are (N, K)."
    if not moves:
        yield "NumPy arrays and tensors will do."
    if moves and card.attributes.get("step_grid"):
        step = card.attributes["step_name"]
        yield f"`oodbench run` chooses `{step}`; by hand it must be given, or no step is taken."
    if "head" in card.fits:
        yield "`weight` (K, D) and `bias` (K,) are those of the final layer."
    if card.fits:
        yield "Labels are class indices (N,)."
    if any(need in _MADE_OF for need in card.needs):
        yield "`methods.features` says what else is given."
