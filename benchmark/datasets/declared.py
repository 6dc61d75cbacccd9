"""The datasets of a leaderboard: the catalog's, and those that its file declares, without code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from benchmark.datasets.catalog import Dataset, DatasetCard, UnknownDatasetError, dataset, dataset_names
from benchmark.datasets.files import ONLY, LocalDataset
from benchmark.datasets.folder import ImageFolder
from benchmark.datasets.hub import DataMissing, HubDataset
from benchmark.datasets.mirror import Columns, MirrorFile
from benchmark.errors import DataError, SpecError
from benchmark.spec.datasets import Declared, Folder, HubRepository
from benchmark.spec.leaderboard import Spec
from methods.names import did_you_mean


class Datasets:
    """The datasets that a leaderboard file can name, by name.

    Raises
    ------
    SpecError
        If the file declares one under a name of the catalog.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._known: dict[str, Dataset] = {}
        for name in spec.datasets:
            if name in dataset_names():
                where = spec.where("datasets", name)
                raise SpecError(f"{where}: the name {name!r} is in the catalog already; expected another")

    @property
    def names(self) -> list[str]:
        """The catalog's, and the file's own."""
        return [*dataset_names(), *self._spec.datasets]

    def __getitem__(self, name: str) -> Dataset:
        """The dataset of that name.

        Raises
        ------
        UnknownDatasetError
            If there is none; suggests the nearest.
        DataMissing
            If it is declared, and its files are not there.
        DataError
            If they are there, and are not what is declared; names file, line and key.
        """
        if name not in self._spec.datasets:
            if name not in dataset_names():
                hint = did_you_mean(name, self.names, "oodbench list datasets")
                raise UnknownDatasetError(f"no dataset {name!r}; {hint}")
            return dataset(name)
        if name not in self._known:
            try:
                self._known[name] = _declared(name, self._spec.datasets[name], self._spec)
            except DataMissing:
                raise
            except (DataError, ValueError) as error:
                raise DataError(f"{self._spec.where('datasets', name)}: {error}") from error
        return self._known[name]


def datasets_of(spec: Spec) -> Datasets:
    """The datasets of a leaderboard; what was read of files is kept for as long as it is."""
    found: Datasets = spec.kept("datasets", partial(Datasets, spec))
    return found


def card_of(name: str, asked: Declared, size: int, class_names: tuple[str, ...]) -> DatasetCard:
    """The card of a declared dataset."""
    return DatasetCard(
        name=name,
        title=asked.title,
        description=asked.description,
        source=asked.source,
        licence=asked.licence,
        citation=asked.citation,
        size=size,
        labelled=bool(class_names),
        class_names=class_names,
        outlier_source=asked.outlier_source,
        notes=asked.notes,
        part_of=tuple(asked.part_of),
    )


def _declared(name: str, asked: Declared, spec: Spec) -> Dataset:
    names = tuple(asked.class_names or ())
    if isinstance(asked, HubRepository):
        return HubDataset(
            card_of(name, asked, next(iter(asked.splits.values())), names),
            asked.splits,
            image_column=asked.image_column,
            label_column=asked.label_column,
            repository=asked.repository,
            revision=asked.revision,
            config=asked.config,
            in_catalog=False,
        )
    paths = asked.path if isinstance(asked.path, Mapping) else {ONLY: asked.path}
    places = {split: spec.beside(path).resolve() for split, path in paths.items()}
    splits = {}
    for split, place in places.items():
        if not place.exists():
            where = spec.where("datasets", name, "path")
            raise DataMissing(f"{where}: dataset {name}: {place} does not exist; expected its {asked.kind}")
        if place.is_dir() != isinstance(asked, Folder):
            is_one = "a folder" if place.is_dir() else "a file"
            raise DataError(f"{place} is {is_one}; expected kind {asked.kind}")
        columns = (
            Columns("", None)
            if isinstance(asked, Folder)
            else Columns(asked.image_column, asked.label_column)
        )
        file = ImageFolder(place, names) if place.is_dir() else MirrorFile(place, columns)
        if columns.label is not None and not names and not file.class_names:
            raise DataError(
                f"{place} does not say what the classes in column {columns.label!r} are called; expected "
                "`class_names`"
            )
        names = names or file.class_names
        splits[split] = file.rows
    card = card_of(name, asked, next(iter(splits.values())), names)
    return LocalDataset(card, splits, columns.image, columns.label, paths=places)
