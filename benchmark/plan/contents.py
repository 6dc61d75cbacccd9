"""What an image set of a track holds: how many images, and which."""

from __future__ import annotations

from benchmark.datasets import DataMissing, HubDataset, dataset
from benchmark.datasets.sets import build_set
from benchmark.plan.sources import image_config
from benchmark.spec.leaderboard import ImageSource, Track


def content_of(track: Track, name: str, item: str, source: ImageSource) -> tuple[int, str | None]:
    """Count the images of a set of the track called `name`, building it where it is an embedded one.

    Returns
    -------
    Their number and a fingerprint: of the pixels, or of the mirror's file of a dataset of the Hub; None where
    the mirror does not hold it.
    """
    known = dataset(source.dataset)
    if isinstance(known, HubDataset):
        count = source.n or known.splits[source.split or next(iter(known.splits))]
        try:
            return count, image_config(track, name, item, source).sha256
        except DataMissing:
            return count, None
    images, _ = build_set(image_config(track, name, item, source))
    return len(images), images.fingerprint()
