"""Checks of a leaderboard file against what it names: datasets of the catalog, architectures of timm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from benchmark.datasets import Dataset, StoredDataset, UnknownDatasetError
from benchmark.datasets.declared import datasets_of
from benchmark.errors import DataError, SpecError, UsageError
from benchmark.plan.plan import Plan
from benchmark.plan.sources import chosen_classes, network_config
from benchmark.spec.images import ImageSource
from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import AdversarialSource, FractalDB, Hub, SupervisedSource, supervised_source
from methods.names import did_you_mean

LABELLED = ("id", "id_test", "images")  # keys of sets that must have labels
OUTLIER_GROUPS = ("outliers", "validation")  # sets that are never tested on


def check_datasets(spec: Spec, name: str) -> None:
    """Check the image sets of a track against the catalog.

    Raises
    ------
    SpecError
        If the catalog has no such dataset, split or class, or fewer images than are asked for, the ID set has
        no labels, or a test set is kept for outliers; names file, line and key.
    """
    track = spec.tracks[name]
    _check_dataset(spec, track.id, ("tracks", name, "id"))
    if track.id_test is not None:
        _check_dataset(spec, track.id_test, ("tracks", name, "id_test"))
    _check_split(spec, name)
    for group, sets in track.sets.items():
        for item, source in sets.items():
            _check_dataset(spec, source, ("tracks", name, *track.where(group), item))
    for init in track.all_inits:
        first = spec.first_weights(name, init)
        of = supervised_source(first)
        if of is not None:
            where = ("inits", init, *(() if of is first else ("of",)))
            _check_dataset(spec, of.images, (*where, "images"))
            known = len(datasets_of(spec)[of.images.dataset].card.class_names)
            for label in of.exclude_classes or []:
                if label >= known:
                    place = spec.where(*where, "exclude_classes")
                    raise SpecError(f"{place}: {of.images.dataset} has no class {label}; it has {known}")


def _check_split(spec: Spec, name: str) -> None:
    """Check that each class has the images that the split takes, as far as catalog and mirror know."""
    track = spec.tracks[name]
    sizes = track.split
    if sizes.train is None and track.id_test is None:
        raise SpecError(
            f"{spec.where('tracks', name, 'split', 'train_per_class')}: got 'all', which leaves no test "
            "images; expected a number, or an `id_test`"
        )
    train = sizes.train or 1
    needed = train + sizes.val_per_class + (track.id_test is None)
    for has, whose in _class_bounds(track.id, datasets_of(spec)[track.id.dataset]):
        if needed > has:
            test = "" if track.id_test else " and 1 to test"
            raise SpecError(
                f"{spec.where('tracks', name, 'split')}: {train:,} images of each class to "
                f"train, {sizes.val_per_class:,} to validate{test} are {needed:,}, and {whose} of "
                f"{track.id.dataset} has {has:,}; lower train_per_class or val_per_class"
            )


def _class_bounds(source: ImageSource, known: Dataset) -> Iterator[tuple[int, str]]:
    """Most images that a class can have, as far as is known, and which class."""
    sizes, names = _class_sizes(source, known), known.card.class_names
    chosen = chosen_classes(source, names)
    for label in (range(len(names)) if chosen is None else chosen) if sizes else ():
        yield sizes[label], f"class {names[label]!r}"
    if chosen is None and (known.splits or not sizes):
        total = source.n or _rows(source, known) or known.card.size
        yield (
            total // len(names),
            f"a class of the {total:,} images",
        )  # however they are spread over the classes


def _class_sizes(source: ImageSource, known: Dataset) -> Sequence[int]:
    """Images of each class, as the catalog has them or the files' labels say; empty if neither does."""
    if (sizes := known.class_sizes(source.split)) or not isinstance(known, StoredDataset):
        return sizes
    split = source.split or next(iter(known.splits))
    if not known.here(split):
        return ()
    try:
        labels = Counter(known.opened(known.path(split)).labels().tolist())
    except DataError:
        return ()  # damaged: the job that reads its images says so, and other tracks go on
    return [labels[label] for label in range(len(known.card.class_names))]


def _rows(source: ImageSource, known: Dataset) -> int | None:
    """How many images a split has; None for what is made anew for each purpose."""
    return known.splits[source.split or next(iter(known.splits))] if known.splits else None


def check_timm_names(spec: Spec, plan: Plan) -> None:
    """Check what the plan asks of timm: apart from planning, because timm takes seconds to import.

    Raises
    ------
    SpecError
        If timm has no such architecture or optimizer, or the architecture cannot take a track's images; names
        file, line and key.
    """
    from timm.optim._optim_factory import list_optimizers

    from benchmark.backbones.create import check_architecture, check_images

    measured = [planned.place for planned in plan.measured if planned.place.track in spec.tracks]
    for name in {item.backbone for item in measured}:
        try:
            check_architecture(spec.backbones[name].architecture)
        except UsageError as error:
            raise SpecError(f"{spec.where('backbones', name, 'architecture')}: {error}") from error
    for (track, name), item in {(item.track, item.backbone): item for item in measured}.items():
        try:
            check_images(network_config(spec, track, (name, item.init, item.seed)))
        except DataError as error:
            raise SpecError(f"{spec.where('tracks', track, 'image_size')}: {error}") from error
    for track, name, init in {(item.track, item.backbone, item.init) for item in measured}:
        _check_tag(spec, track, name, init)
    places: dict[tuple[str | int, ...], str] = {}
    for track, init in {(item.track, item.init) for item in measured}:
        first = spec.first_weights(track, init)
        source = first.of if isinstance(first, AdversarialSource) else first
        for recipe in ("training", "finetuning", "pretraining"):
            found = getattr(spec.tracks[track], recipe)
            if found is not None:
                places["tracks", track, recipe, "optimizer"] = found.optimizer
        for i, special in enumerate(spec.tracks[track].recipes):
            places["tracks", track, "recipes", i, "training", "optimizer"] = special.training.optimizer
        if isinstance(source, FractalDB | SupervisedSource):
            of = ("of",) if source is not first else ()
            places["inits", init, *of, "training", "optimizer"] = source.training.optimizer
    known = [str(name) for name in list_optimizers()]
    for place, optimizer in places.items():
        if optimizer.lower() not in known:
            hint = did_you_mean(optimizer, known)
            raise SpecError(f"{spec.where(*place)}: timm has no optimizer {optimizer!r}; {hint}")


def _check_tag(spec: Spec, track: str, name: str, init: str) -> None:
    """Refuse a weight tag that timm does not have of an architecture, and inputs that are not its own."""
    import timm

    weights = spec.backbones[name].weights.get(init)
    if weights is None or weights.tag is None or not isinstance(spec.first_weights(track, init), Hub):
        return
    architecture = spec.backbones[name].architecture
    where = spec.where("backbones", name, "weights", init, "tag")
    known = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if weights.tag not in known:
        hint = did_you_mean(weights.tag, known) if known else "it publishes none"
        raise SpecError(f"{where}: timm has no weights {weights.tag!r} of {architecture}; {hint}")
    if spec.tracks[track].recipe(name, init) is not None:
        return  # they are tuned to what they are shown
    config = timm.models.get_pretrained_cfg(f"{architecture}.{weights.tag}")
    assert config is not None
    look = spec.tracks[track].look(spec.backbones[name])
    made_for = config.input_size[-1], config.crop_pct, config.interpolation
    if (spec.backbones[name].enlarged or look.image_size, *look[1:]) != made_for:
        raise SpecError(
            f"{where}: these weights are taken as they are, and are made for images of {made_for[0]} pixels, "
            f"crop {made_for[1]}, {made_for[2]}; backbone {name!r} is shown {look.image_size} pixels, crop "
            f"{look.crop}, {look.interpolation}: set image_size, crop and interpolation of the backbone"
        )


def _check_dataset(spec: Spec, source: ImageSource, loc: tuple[str, ...]) -> None:
    try:
        known = datasets_of(spec)[source.dataset]
    except UnknownDatasetError as error:
        raise SpecError(f"{spec.where(*loc, 'dataset')}: {error}") from error
    card = known.card
    if source.split is None and len(known.splits) > 1:
        splits = ", ".join(known.splits)
        raise SpecError(f"{spec.where(*loc)}: {source.dataset} has several splits; name one: {splits}")
    if source.split is not None and source.split not in known.splits:
        hint = did_you_mean(source.split, known.splits) if known.splits else "it has none"
        raise SpecError(
            f"{spec.where(*loc, 'split')}: {source.dataset} has no split {source.split!r}; {hint}"
        )
    rows = _rows(source, known)
    if source.n is not None and rows is not None and source.n > rows:
        raise SpecError(
            f"{spec.where(*loc, 'n')}: {source.n:,} images are asked for, and {source.dataset} has {rows:,}; "
            "lower n, or leave it out for all"
        )
    try:
        chosen = chosen_classes(source, card.class_names)
    except LookupError as error:
        key = "classes" if source.without is None else "without"
        raise SpecError(f"{spec.where(*loc, key)}: {source.dataset} has {error.args[0]}") from error
    if chosen == []:
        raise SpecError(f"{spec.where(*loc, 'without')}: leaves no class of {source.dataset}")
    if loc[-1] in LABELLED and not card.labelled:
        what = "pre-training needs" if loc[-1] == "images" else "the ID set needs"
        raise SpecError(f"{spec.where(*loc, 'dataset')}: {source.dataset} has no labels; {what} them")
    if card.outlier_source and loc[2] not in OUTLIER_GROUPS:
        raise SpecError(
            f"{spec.where(*loc, 'dataset')}: {source.dataset} is kept for training outliers; "
            "no test set may use it"
        )
