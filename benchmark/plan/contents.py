"""What an image set of a track holds: how many images, and which."""

from __future__ import annotations

from benchmark.datasets import DataMissing, StoredDataset
from benchmark.datasets.declared import datasets_of
from benchmark.datasets.sets import build_set
from benchmark.plan.sources import image_config, most_images
from benchmark.spec.images import ImageSource, Look
from benchmark.spec.leaderboard import Spec


def content_of(spec: Spec, name: str, item: str, source: ImageSource) -> tuple[int | None, str | None]:
    """Count the images of a set of the track called `name`, building it where it is an embedded one.

    They are as the track itself shows them, whatever a backbone asks for.

    Returns
    -------
    Their number, None where it is not known before they are here, and a fingerprint: of the pixels, or of the
    files that they are read from; None where these are not here.
    """
    track = spec.tracks[name]
    look = Look(track.image_size, track.crop, track.interpolation)
    try:
        known = datasets_of(spec)[source.dataset]
    except DataMissing:
        return source.n, None
    if isinstance(known, StoredDataset):
        try:
            config = image_config(spec, name, item, source, look)
        except DataMissing:
            return source.n or known.splits[source.split or next(iter(known.splits))], None
        return most_images(known, config), config.sha256
    images, _ = build_set(image_config(spec, name, item, source, look), known)
    return len(images), images.fingerprint()
