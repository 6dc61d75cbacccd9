"""What a method says of itself, read from its file without running it: for people, and for pages.

Pages describe every method and import no torch. What a file does not show is left out, and what cannot be
read is skipped. This module must import nothing that loads torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from methods.method import Paper
from methods.source import Class, Unclear, registered, tree

GROUP = "oodbench.methods"  # of entry points, as in `methods.families`
_BASES = {  # classes that a method derives from, and the family that this makes it part of
    "Detector": "detectors",
    "EnsembleDetector": "detectors",
    "Objective": "objectives",
    "Correction": "corrections",
    "Attack": "attacks",
    "NoiseModel": "noise_models",
    "Profile": "profiles",
    "Sampler": "samplers",
}
FAMILIES = tuple(dict.fromkeys(_BASES.values()))

Kind = Literal["logits", "features", "stages", "gradients", "outliers", "several networks"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # from the least to the most that a user must have
_KIND_OF: dict[str, Kind] = {
    "logits": "logits",
    "outputs": "logits",  # of a head that has more than logits
    "penultimate": "features",
    "head": "features",
    "stages": "stages",
    "gram": "stages",
    "rank_one": "stages",
    "maps": "stages",
    "log_variances": "stages",
    "the network itself": "gradients",
    "images": "gradients",
    "outliers": "outliers",
    "unlabelled": "outliers",
}


class Hyperparameter(NamedTuple):
    """A field of a method's dataclass."""

    name: str
    annotation: str
    default: str  # as it is written


@dataclass(frozen=True)
class MethodCard:
    """A method, as its file describes it."""

    family: str
    name: str
    doc: str = ""  # the docstring as it is written
    paper: Paper | None = None
    needs: tuple[str, ...] = ()  # signals, or data; and what is no signal
    bases: tuple[str, ...] = ()  # names of the classes that it derives from, the nearest first
    hyperparameters: tuple[Hyperparameter, ...] = ()
    aliases: tuple[str, ...] = ()  # what other libraries and papers call it
    fits: tuple[str, ...] = ()  # of a detector: the arguments of `fit` that it looks at
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)  # plain values, of the class
    source: str = ""  # path below the root of the repository; of another package the module
    line: int = 0  # of the class

    @property
    def text(self) -> str:
        """Everything in it; equal cards give equal text in every process."""
        plain = {k: sorted(v) if isinstance(v, frozenset) else v for k, v in sorted(self.attributes.items())}
        return repr(replace(self, attributes=plain))


@cache
def cards(family: str) -> Mapping[str, MethodCard]:
    """Every method of a family whose file can be read, by name, sorted; ours before those of others."""
    found = {card.name: card for card in _foreign() if card.family == family}
    folder = Path(__file__).parent / family
    for file in sorted(folder.glob("[!_]*.py")):
        module = f"{__package__}.{family}.{file.stem}"
        try:
            found |= {name: _card(family, name, said) for name, said in registered(module)}
        except (OSError, SyntaxError, ValueError):  # `oodbench list` says what is wrong with it
            continue
    return dict(sorted(found.items()))


def kind_of(detector: MethodCard, objective: MethodCard | None = None) -> Kind:
    """The one thing that a detector needs most of all, on networks of an objective if that is given."""
    needs = [*detector.needs, *(objective.needs if objective is not None else ())]
    found: list[Kind] = ["several networks"] if "EnsembleDetector" in detector.bases else ["logits"]
    return max([*found, *(_KIND_OF[need] for need in needs if need in _KIND_OF)], key=KINDS.index)


def moves_images(card: MethodCard) -> bool:
    """Whether a detector moves each image before it scores it, at its published defaults."""
    return "the network itself" in card.needs


def _card(family: str, name: str, said: Class) -> MethodCard:
    ours = said.module.startswith(f"{__package__}.")
    paper = said.said("paper")
    aliases = said.said("aliases", ()) if "aliases" in said.own else ()
    return MethodCard(
        family=family,
        name=name,
        doc=ast.get_docstring(said.node, clean=False) or "",
        paper=paper if isinstance(paper, Paper) else None,
        needs=_needs(said),
        bases=tuple(list(said.names)[1:]),
        hyperparameters=tuple(_hyperparameters(said)),
        aliases=tuple(aliases),
        fits=_fits(said),
        attributes={key: value for key in said.attributes if (value := said.said(key)) is not None},
        source=f"{said.module.replace('.', '/')}.py" if ours else said.module,
        line=said.node.lineno,
    )


def _hyperparameters(said: Class) -> Iterator[Hyperparameter]:
    for name, written in said.fields.items():
        try:
            default = written.text
        except Unclear:
            default = ast.unparse(written.node) if written.node is not None else ""
        yield Hyperparameter(name, written.kind, default)


def _needs(said: Class) -> tuple[str, ...]:
    """As `requires` of a detector at its published defaults, in `methods.base`; of others the data."""
    needs = tuple(sorted(map(str, said.said("needs", ()))))
    step = said.fields.get(said.said("step_name", ""))
    if step is not None and "GradientDetector" in said.names:
        try:
            length = step.value()
        except Unclear:
            length = 0
        needs += ("the network itself", "images") if length is None or length > 0 else ()
    members = said.fields.get("members")
    if members is not None and "EnsembleDetector" in said.names:
        needs += (f"{members.text} networks",)
    return needs


def _fits(said: Class) -> tuple[str, ...]:
    """The arguments that `fit` looks at, or hands on."""
    fit = said.functions.get("fit")
    if fit is None:
        return ()
    loaded = {node.id for line in fit.body for node in ast.walk(line) if isinstance(node, ast.Name)}
    return tuple(arg.arg for arg in fit.args.args if arg.arg in loaded - {"self"})


def _foreign() -> Iterator[MethodCard]:
    """The methods of other packages: of modules that entry points name, and of parts that these import."""
    for point in entry_points(group=GROUP):
        yield from _of_package(point.module)


def _of_package(module: str) -> list[MethodCard]:
    try:
        return [
            _card(family, name, said)
            for part in dict.fromkeys([module, *_parts(module)])
            for name, said in registered(part)
            if (family := next((_BASES[base] for base in said.names if base in _BASES), None)) is not None
        ]
    except (Exception, SystemExit):  # it may fail in any way; `oodbench list` says what is wrong with it
        return []


def _parts(module: str) -> Iterator[str]:
    """Modules of a package that it imports by name."""
    for node in tree(module).values():
        if isinstance(node, ast.ImportFrom) and not node.level:
            for name in (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)):
                if name.startswith(f"{module}.") and find_spec(name) is not None:
                    yield name
