"""Sets of images as an evaluation reads them: once, a batch at a time, never all of them in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.images import ImageBatch, ImageSource
from benchmark.evaluation.pictures.classes import ClassMap, match_classes, numbered
from benchmark.evaluation.pictures.decoding import Broken, decode, quiet
from benchmark.evaluation.pictures.gathering import Disjoint, Prepare, Read, Role, gather, prepared
from benchmark.evaluation.pictures.listings import Listing, list_csv, list_folder
from benchmark.evaluation.pictures.loaders import LoaderSource
from benchmark.evaluation.pictures.tables import HUB, HubName, list_hub, list_parquet, the_split
from benchmark.evaluation.pictures.tally import Tally
from methods.errors import printable

_THREADS = 8  # that decode, at most; Pillow lets others run while it does
_AHEAD = 256  # images that are decoded beyond the batch that is asked for, at most

LISTS, TABLES = (".csv", ".tsv", ".txt"), (".parquet", ".pq")


def open_listing(where: str | Path, *, role: Role) -> Listing:
    """What lies there: a folder, a Parquet file, a CSV of paths, or ``hub:OWNER/NAME@REVISION:SPLIT``.

    A Parquet file's or Hub set's columns can be named: ``file.parquet?image=COLUMN&label=COLUMN``.

    Raises
    ------
    UsageError
        If there is nothing of that name, or it is none of these.
    DataError
        If it has no images, or is damaged.
    """
    labelled = role.startswith("id_")
    text = str(where)
    if text.startswith(HUB):
        name = HubName.parse(text)
        return list_hub(name, the_split(name), labelled=labelled)
    path, columns = Path(where), {}
    if "?" in text and not path.exists():
        file, _, asked = text.partition("?")
        path, columns = Path(file), HubName.parse(f"{HUB}x?{asked}").columns
    try:
        there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:  # too long, or with a null byte
        raise UsageError(f"{printable(text)!r} is no path: {error}") from error
    if not there:
        raise UsageError(
            f"{printable(text)} is not there; expected a folder, .parquet, .csv or hub:OWNER/NAME"
        )
    if is_folder:
        return list_folder(path, labelled=labelled)
    if path.suffix.lower() in TABLES:
        image, label = columns.get("image"), columns.get("label")
        return list_parquet(path, image=image, label=label, labelled=labelled)
    if path.suffix.lower() in LISTS:
        return list_csv(path, labelled=labelled)
    raise UsageError(
        f"{printable(text)} is a file whose name ends in {path.suffix or 'nothing'!r}; expected a folder of "
        f"images, {', '.join(TABLES)} or {', '.join(LISTS)}"
    )


def classes_of(listing: Listing, model: tuple[str, ...] | None, count: int) -> ClassMap | None:
    """The model's classes of an ID set; None where it has no labels. See `match_classes`.

    Raises
    ------
    DataError
        If they do not fit, or there is one class only.
    """
    if listing.labels is None:
        return None
    if listing.class_names is not None:
        return match_classes(listing.class_names, model, count)
    seen = np.unique(listing.labels)
    if seen[0] < 0 or seen[-1] >= count:
        raise DataError(
            f"the images have labels {seen[0]} to {seen[-1]}, and the model has {count} classes; expected "
            f"labels 0 to {count - 1}"
        )
    if len(seen) == 1 and len(listing) > 1:
        raise DataError(
            f"all images have label {seen[0]}: the ID images have one class only, expected several"
        )
    return numbered(count, model)


def open_source(
    where: Any,
    *,
    title: str,
    prepare: Prepare | None,
    classes: ClassMap | None,
    role: Role,
    disjoint: Disjoint | None = None,
) -> ImageSource:
    """Open a set of images; none is decoded yet.

    Parameters
    ----------
    where : str, pathlib.Path, Listing, torch Dataset or DataLoader, or a sequence of images
        See `open_listing` and `LoaderSource`.
    title : str
        What pages call the set.
    prepare : callable or None
        `Subject.prepare`; None if images cannot be given, which leaves loaders of tensors.
    classes : ClassMap or None
        Of an ID set; None leaves labels out.
    role : str
        ``id_train``, ``id_val``, ``id_test``, ``near`` or ``far``; labels are of ID sets only.
    disjoint : Disjoint, optional
        Shared by the parts of one ID set, so that none repeats an image of another.

    Raises
    ------
    UsageError
        If it is of no known kind.
    DataError
        If it cannot be read, or labels are out of range.
    """
    if isinstance(where, str | Path):
        where = open_listing(where, role=role)
    if not isinstance(where, Listing):
        return LoaderSource(where, title, prepare, classes, role, disjoint)
    if prepare is None:
        raise UsageError(
            f"{title}: pictures cannot be given to this model, of which it is not known how they are "
            "prepared (in Python give transform=, or size= and normalise=); expected tensors, or their "
            "features"
        )
    return StoredSource(where, title, prepare, classes, role, disjoint)


class StoredSource:
    """The images of a listing, as an `ImageSource`: decoded by threads, in the listing's order.

    Parameters are those of `open_source`.
    """

    def __init__(
        self,
        listing: Listing,
        title: str,
        prepare: Prepare,
        classes: ClassMap | None,
        role: Role,
        disjoint: Disjoint | None = None,
    ) -> None:
        self.title = title
        self.expected: int | None = len(listing)
        self._listing, self._prepare, self._role, self._disjoint = listing, prepare, role, disjoint
        self._notes = listing.notes
        self._labels: NDArray[np.int64] | None = None
        if role.startswith("id_"):
            if listing.labels is not None and classes is not None:
                self._labels = classes.of(listing.labels)
                self._notes += classes.notes
            else:
                self._notes += ("there are no labels: accuracy and what is fitted by class cannot be had",)
        own = classes.names if classes is not None and role.startswith("id_") else None
        self._names = listing.class_names or own
        self._tally = Tally(listing.kind, self._notes)

    def batches(self, size: int) -> Iterator[ImageBatch]:
        """See `ImageSource.batches`."""
        quiet()
        self._tally = Tally(self._listing.kind, self._notes)
        threads = min(_THREADS, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        try:
            reads = _in_order(pool, self._jobs(), 4 * threads + min(size, _AHEAD))
            yield from gather(reads, size, self._tally, self.title, self._role, self._disjoint)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def picture(self, name: str) -> Image.Image | None:
        """See `ImageSource.picture`."""
        quiet()
        file = self._listing.one(name)
        if file is None or isinstance(file, Broken):
            return None
        try:
            return decode(file).image
        except Broken:
            return None

    @property
    def card(self) -> dict[str, Any]:
        """See `ImageSource.card`."""
        return self._tally.card

    def _jobs(self) -> Iterator[Callable[[], Read]]:
        own = None if self._listing.labels is None else self._listing.labels.tolist()
        for place, (name, file) in enumerate(zip(self._listing.names, self._listing.encoded(), strict=True)):
            label = None if self._labels is None else int(self._labels[place])
            of = None if own is None else str(self._names[own[place]] if self._names else own[place])
            yield self._job(name, file, label, None if of is None else printable(of))

    def _job(
        self, name: str, file: Path | bytes | Broken, label: int | None, of: str | None
    ) -> Callable[[], Read]:
        def read() -> Read:
            try:
                if isinstance(file, Broken):
                    raise file
                found = prepared(name, decode(file), self._prepare)
            except Broken as reason:
                return Read(name, None, broken=printable(str(reason)))
            return found._replace(label=label, of=of)

        return read


def _in_order(pool: ThreadPoolExecutor, jobs: Iterator[Callable[[], Read]], ahead: int) -> Iterator[Read]:
    """Results in the order of the jobs, of which at most `ahead` are waiting or done."""
    pending: deque[Future[Read]] = deque()
    for job in jobs:
        pending.append(pool.submit(job))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
