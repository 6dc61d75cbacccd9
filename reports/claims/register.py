"""The register of claims, claims.yaml, as typed models. An error names file, line and key.

What is tested, how, where, and what counts as an effect is declared there, not chosen from the results; a
change of it is a new version of the claim. This module must not know any record.
Source: spec/claims.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from benchmark.metrics.verdicts import Kind
from benchmark.records.record import BOUNDARY
from benchmark.spec.base import Distinct, Name
from benchmark.spec.leaderboard import Column
from benchmark.spec.yaml_file import read_tree, refuse, validated
from benchmark.studies.plane.measure import REGIONS
from benchmark.studies.plane.settings import ARMS
from benchmark.studies.registry import study_names

Text = Annotated[str, StringConstraints(min_length=1)]
ClaimId = Annotated[str, StringConstraints(pattern=r"^C-[A-F]\d{1,2}[a-z]?$")]
Points = Annotated[float, Field(ge=0, allow_inf_nan=False)]

GROUPS = ("near", "far")
CURVE = "curve.epochs"  # the metric that is read from the curves of both arms' networks
TRAINED: dict[str, str] = {arm: arm if arm == "cross_entropy" else f"{arm}_outliers" for arm in ARMS}
"""Arms in two dimensions: the classifiers by their outliers in training."""
SCORED = {"energy": "cross_entropy+energy", "msp": "cross_entropy+msp"}
"""Further arms there: two scores of the classifier without outliers."""
DENSITY = "density.spearman"
SUMMARY = "summary"
"""What pre-training gives over several studies, as if it were a study: the only arm is `PRETRAINING`."""
PRETRAINING = "pretraining"
_OF_REGION = tuple(f"regions.{name}.{metric}" for name in REGIONS for metric in ("auroc", "confident"))
_IN_PLANE = dict.fromkeys(TRAINED.values(), _OF_REGION) | dict.fromkeys(SCORED.values(), (DENSITY,))
EVIDENCE = {
    "V": "read in the authors' release",
    "T": "read in a third party's release",
    "A": "from the paper's abstract",
    "R": "reported by a review",
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Metric(Column):
    """What is compared: a path into a record's measurement, and the least effect that counts.

    ``both.X`` is the mean of ``near.X`` and ``far.X``; ``worst.X`` the worst over the OOD sets. On the track
    ``boundary``, the experiment in two dimensions, ``regions.R.X`` is of a training and ``density.spearman``
    of a score. ``curve.epochs`` counts epochs until the validation accuracy is 95 % of arm b's final one.
    ``adversarial.X`` is number X of the study ``adversarial``, whose rows the arms are; so for the others.
    """

    delta: Points = Field(description="in points (×100) where `percent`, else in the metric's own unit")

    @property
    def least(self) -> float:
        """The least effect that counts, in the metric's own unit."""
        return self.delta / 100 if self.percent else self.delta

    @property
    def study(self) -> str | None:
        """The study whose number it is; None for a record of OOD detection, or of two dimensions."""
        study, _, _ = self.metric.partition(".")
        return study if study in (*study_names(), SUMMARY) else None

    @property
    def number(self) -> str:
        """The path within the study."""
        return self.metric.partition(".")[2] if self.study else self.metric


class Setting(NamedTuple):
    """Where a test is made; `init` is that of arm a, and of arm b unless the init is the factor."""

    track: str
    backbone: str
    init: str
    called: tuple[tuple[str, str], ...] = ()  # entries and inits, and their names there

    def __str__(self) -> str:
        track = "two dimensions" if self.track == BOUNDARY else self.track
        return f"{track} · {self.backbone} · {self.init}"

    def name(self, usual: str) -> str:
        """What an entry or an init is called there."""
        return dict(self.called).get(usual, usual)


class Place(_Model):
    """Where a claim is tested: every combination is a setting."""

    track: Name
    backbones: Distinct[Name]
    inits: Distinct[Name]
    called: dict[Name, Name] = Field({}, description="entries and inits that have another name there")


class Published(_Model):
    """A figure of the literature. Unverified ones, tagged U in the spec, are never shown: there is no U."""

    figure: Text
    tag: Literal["V", "T", "A", "R"]


class Pair(_Model):
    """Two entries whose difference is taken off that of a test: an interaction."""

    a: Name
    b: Name


class Trial(_Model):
    """One test of a claim, in each of its settings."""

    id: Name
    metric: Name = Field(description="a name of `metrics`")
    a: Name = Field(description="the entry that the claim predicts to be better")
    b: Name | None = Field(None, description="the entry that it is compared with")
    versus_init: Name | None = Field(None, description="the init of b, where init is the factor under test")
    threshold: float | None = Field(None, description="instead of b: a one-sample test against this number")
    relative_to: Name | None = Field(
        None, description="the share of this entry's gain over b that a has; needs `threshold`"
    )
    minus: Pair | None = None
    kind: Kind = "gain"
    delta: Points | None = Field(None, description="the metric's if absent; of non-inferiority the margin")
    role: Literal["primary", "secondary", "capped"] = Field(
        "primary", description="`capped`: never more than exploratory"
    )
    settings: Distinct[Name] = Field(description="names of `settings`")
    about: str = ""

    @model_validator(mode="after")
    def _arms(self) -> Self:
        if self.relative_to is not None:
            if self.b is None or self.threshold is None:
                raise ValueError("`relative_to` needs `b` and `threshold`")
        elif (self.b is None) == (self.threshold is None):
            raise ValueError("expected either `b` or `threshold`")
        if self.minus is not None and (self.b is None or self.relative_to is not None):
            raise ValueError("`minus` is for tests of a against b")
        if self.versus_init is not None and self.b is None:
            raise ValueError("`versus_init` needs `b`")
        if self.versus_init is None and self.a == self.b:
            raise ValueError(f"a and b are the same entry {self.a!r}, and of the same init")
        return self

    def series(self, setting: Setting) -> Iterator[tuple[str, str, str]]:
        """Arm, entry and init of every series of records that the test draws on."""
        init_b = setting.name(self.versus_init) if self.versus_init else setting.init
        yield "a", setting.name(self.a), setting.init
        if self.b is not None:
            yield "b", setting.name(self.b), init_b
        if self.relative_to is not None:
            yield "reference", setting.name(self.relative_to), setting.init
        if self.minus is not None:
            yield "minus a", setting.name(self.minus.a), setting.init
            yield "minus b", setting.name(self.minus.b), init_b


class Repeat(_Model):
    """Shows the outcome of another claim's test once more, without counting it twice."""

    claim: ClaimId
    trial: Name
    init: Name


class Claim(_Model):
    """A published statement and how it is tested."""

    id: ClaimId
    version: Annotated[int, Field(ge=1)] = 1
    statement: Text
    source: Text
    published: list[Published] = []
    about: str = Field("", description="where our test departs from the register of the spec, and caveats")
    trials: list[Trial] = Field(min_length=1)
    repeats: list[Repeat] = []

    @property
    def family(self) -> str:
        """The letter over which Holm's adjustment goes."""
        return self.id[2]

    @property
    def page(self) -> str:
        """The page of the site on which it stands with its tests."""
        return f"claims/{self.family.lower()}"


class Central(_Model):
    """A measure of what pre-training gives, shown at the start of the page: a test of `claims`."""

    title: Text
    claim: ClaimId
    trial: Name


class Untested(_Model):
    """Claims of the spec that no record can decide yet."""

    ids: Distinct[ClaimId]
    reason: Text


class Register(_Model):
    """The whole of claims.yaml."""

    version: Literal[1]
    metrics: dict[Name, Metric]
    settings: dict[Name, Place]
    central: list[Central] = []
    claims: list[Claim] = Field(min_length=1)
    untested: list[Untested] = []

    def metric(self, trial: Trial) -> Metric:
        """What a test compares, with the effect that it declares."""
        metric = self.metrics[trial.metric]
        if trial.relative_to is not None:
            metric = metric.model_copy(update={"title": f"Share of the gain in {metric.title}"})
        return metric if trial.delta is None else metric.model_copy(update={"delta": trial.delta})

    def places(self, trial: Trial) -> Iterator[Setting]:
        """The settings of a test."""
        for place in (self.settings[name] for name in trial.settings):
            called = tuple(place.called.items())
            for backbone in place.backbones:
                yield from (Setting(place.track, backbone, init, called) for init in place.inits)


def load_register(path: Path | None = None) -> Register:
    """Read and check a register; the one that comes with oodbench if no path is given.

    Raises
    ------
    SpecError
        If it cannot be read, is not YAML, or says something that the models above do not allow. The message
        names file, line and key.
    """
    if path is None:
        with as_file(files("reports") / "claims" / "claims.yaml") as own:
            return load_register(own)
    tree = read_tree(path, "a register of claims", "keys (version, metrics, settings, claims)")
    register = validated(path, tree, Register)
    refuse(path, tree, _dangling(register))
    return register


def _dangling(register: Register) -> list[tuple[tuple[str | int, ...], str]]:
    """Names that nothing defines, and names that are taken twice."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    known = {claim.id: {trial.id for trial in claim.trials} for claim in register.claims}
    ids = [claim.id for claim in register.claims]
    ids += [claim for group in register.untested for claim in group.ids]
    for name, n in Counter(ids).items():
        if n > 1:
            found.append((("claims",), f"{name} is listed {n} times; expected once"))
    for c, claim in enumerate(register.claims):
        names = [trial.id for trial in claim.trials]
        for t, trial in enumerate(claim.trials):
            place = ("claims", c, "trials", t)
            if trial.id in names[:t]:
                found.append(((*place, "id"), f"{claim.id} has two trials {trial.id!r}"))
            metric = register.metrics.get(trial.metric)
            if metric is None:
                found.append(((*place, "metric"), f"unknown metric {trial.metric!r}"))
            elif metric.metric == CURVE and (trial.b is None or trial.threshold is not None or trial.minus):
                found.append(((*place, "metric"), f"{CURVE} is for tests of a against b"))
            for name in trial.settings:
                where = register.settings.get(name)
                if where is None:
                    found.append(((*place, "settings"), f"unknown settings {name!r}"))
                elif trial.versus_init in where.inits:
                    problem = f"settings {name!r} have init {trial.versus_init!r} in both arms"
                    found.append(((*place, "versus_init"), problem))
                elif where.track == BOUNDARY:
                    for _, entry, _ in trial.series(Setting(BOUNDARY, "", "")):
                        if entry not in _IN_PLANE:
                            problem = f"no arm {entry!r} in two dimensions; expected {', '.join(_IN_PLANE)}"
                            found.append(((*place, "settings"), problem))
                        elif metric is not None and metric.metric not in _IN_PLANE[entry]:
                            problem = f"{entry!r} has no {metric.metric!r} in two dimensions"
                            found.append(((*place, "metric"), problem))
        for r, repeat in enumerate(claim.repeats):
            if repeat.trial not in known.get(repeat.claim, ()):
                problem = f"unknown test {repeat.claim} {repeat.trial!r}"
                found.append((("claims", c, "repeats", r), problem))
    for i, one in enumerate(register.central):
        if one.trial not in known.get(one.claim, ()):
            found.append((("central", i), f"unknown test {one.claim} {one.trial!r}"))
    return found
