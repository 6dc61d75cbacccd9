"""Planning OOD detection: what each entry asks of its networks, how it scores, what is measured of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.census import Place
from benchmark.errors import SpecError
from benchmark.jobs import measure
from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.job import Job, Kind
from benchmark.jobs.shards import shards_of, told
from benchmark.plan.methods import method_errors
from benchmark.plan.networks import BASE, GRAM, RANK_ONE, PlannedNetwork
from benchmark.seeds import derive_seed
from benchmark.store.fingerprints import definition_of
from benchmark.studies.detection.settings import DetectionSettings, Scoring
from benchmark.studies.study import PlannedMeasurement, Planning
from methods.base import GradientDetector, Signal
from methods.registry import detector_class

HEAVY = 10**9  # pairs of a tested image and one that a detector is fitted on


@dataclass(frozen=True)
class _Scorer:
    """An entry's detector."""

    definition: str
    scoring: Scoring
    statistics: tuple[str, ...]  # of GRAM and RANK_ONE, those that it needs
    runs_network: bool
    searches: bool
    shown: int | None  # the most images that it is fitted on


class DetectionStudy:
    """A job that scores the images of a place by a detector, and one that measures its scores."""

    def check(self, settings: DetectionSettings, planning: Planning) -> None:
        """Refuse nothing: what an entry cannot do is no harm to the others."""

    def check_row(self, settings: DetectionSettings, row: str, planning: Planning) -> None:
        """Refuse an unknown detector, hyper-parameters that it refuses, and tuning on nothing."""
        planning.once(row, lambda: _scorer(settings, row, planning))

    def plan(
        self,
        settings: DetectionSettings,
        place: Place,
        networks: Sequence[PlannedNetwork],
        planning: Planning,
    ) -> PlannedMeasurement:
        """Score by the networks of a place, and measure that."""
        scorer = planning.once(place.row, lambda: _scorer(settings, place.row, planning))
        planner = planning.networks
        for network in networks:
            planner.classified(network)
        sets = [
            item for item in planner.data if scorer.scoring.tuned or item not in settings.track.validation
        ]
        features = [
            {
                what: {item: planner.extract(network, what, item) for item in sets}
                for what in (BASE, *scorer.statistics)
            }
            for network in networks
        ]
        chain = dict(networks[0].chain)
        chain[Kind.SCORE] = _score(settings, place, scorer, networks, features, sets, planning)
        groups = settings.track.ood_sets(settings.groups)
        key = chain[Kind.MEASURE] = planning.add(
            Job(
                Kind.MEASURE,
                measure.Config(groups, derive_seed(place.track, "measure")),
                measure.Inputs(chain[Kind.SCORE], chain[Kind.CLASSIFY]),
                label=f"{_called(place)}: measure {place.row}",
            )
        )
        return PlannedMeasurement(
            key,
            chain,
            inputs=tuple(key for of in features for keys in of.values() for key in keys.values()),
            data={item: planner.data[item] for item in sets}
            | planner.outliers(planner.objective(settings.objective_of(place.row))),
        )


def _scorer(settings: DetectionSettings, row: str, planning: Planning) -> _Scorer:
    entry, scoring = settings.entries[row], settings.scoring(row)
    with method_errors(planning.at("entries", row, "detector")):
        detector = detector_class(entry.detector)
    if entry.tune is not None and not settings.track.validation:
        raise SpecError(
            f"{planning.at('entries', row, 'tune')}: the track {planning.track_name!r} has no `validation` "
            "sets to tune on; expected some"
        )
    with method_errors(planning.at("entries", row, "tune" if entry.tune else "hyperparameters")):
        points = [detector.configure(point) for point in scoring.points]
    return _Scorer(
        definition=definition_of(detector),
        scoring=scoring,
        statistics=tuple(what for what in (GRAM, RANK_ONE) if Signal(what) in detector.needs),
        runs_network=Signal.MAPS in detector.needs
        or scoring.chosen is not None
        or any(isinstance(point, GradientDetector) and point.step > 0 for point in points),
        searches=detector.searches,
        shown=entry.fit_limit or detector.fit_limit,
    )


def _score(
    settings: DetectionSettings,
    place: Place,
    scorer: _Scorer,
    networks: Sequence[PlannedNetwork],
    features: list[dict[str, dict[str, str]]],
    sets: list[str],
    planning: Planning,
) -> str:
    """Key of the scores of all test images by one entry."""
    planner, first, scoring = planning.networks, networks[0], scorer.scoring
    config = ScoringConfig(
        detector=settings.entries[place.row].detector,
        points=scoring.points,
        validation=list(settings.track.validation) if scoring.tuned else [],
        seed=planner.seeds(place.backbone, place.seed)["fit"],
        fit_limit=settings.entries[place.row].fit_limit,
    )
    inputs = ScoringInputs(features, planner.data.get("shifts"))
    kind = Kind.TUNE if scoring.tuned else Kind.SCORE
    label = f"{_called(place)}: scores of {place.row}"
    if not scorer.runs_network:
        shown = scorer.shown or planner.extracted(planner.data["id"])
        heavy = scorer.searches and planner.tested() * shown >= HEAVY
        return planning.add(Job(kind, config, inputs, (scorer.definition,), label, heavy=heavy))
    config = replace(config, network=first.config, split=first.split)
    images = {item: planner.data[item] for item in sets}
    inputs = replace(inputs, network=first.chain[Kind.TRAIN], images=images)
    shards = shards_of(planner.tested(), planner.look.image_size)
    fitted = "" if config.fit_limit is None else f" fitted on {config.fit_limit}"  # those share passes
    if len(shards) > 1 and (scoring.tuned or scoring.chosen):
        choice = Job(Kind.CHOOSE, config, inputs, (scorer.definition,), f"{label}: choice")
        inputs, kind = replace(inputs, chosen=planning.add(choice)), Kind.SCORE
    jobs = [
        Job(
            kind,
            replace(config, shard=shard),
            inputs,
            (scorer.definition,),
            label=f"{label}{told(shard)}",
            group=f"passes {inputs.network}{told(shard)}{fitted}",
        )
        for shard in shards
    ]
    return planner.gathered([planning.add(job) for job in jobs], "scores", label, inputs.chosen)


def _called(place: Place) -> str:
    return f"{place.track} {place.backbone} {place.init} seed {place.seed}"


STUDY = DetectionStudy()
