"""Print what near hashes find of changed copies, what they take for one by chance, and how long it takes.

Sets are those of the mirror (`OODBENCH_MIRROR`) that are there; docs/evaluate_images.md has the figures.

Run: python tests/bench/near_duplicates.py                about a minute
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
from PIL import Image

from benchmark.datasets.mirror import Columns, MirrorFile, split_path
from benchmark.evaluation.pictures.decoding import decode
from benchmark.evaluation.pictures.duplicates import DISTANCE, Hashes, overlapping, usable_distance
from benchmark.evaluation.pictures.hashes import exact_of_image, grid_of_image, near_of

SETS = {
    "cifar10": ("uoft-cs/cifar10", "test", "img"),
    "cifar100": ("uoft-cs/cifar100", "test", "img"),
    "tiny_imagenet": ("zh-plus/tiny-imagenet", "valid", "image"),
    "textures": ("local/textures_10", "test", "image"),
    "scenes": ("local/scenes", "test", "image"),
    "traffic_signs": ("local/traffic_signs", "test", "image"),
    "characters": ("local/street_characters", "test", "image"),
    "mnist": ("ylecun/mnist", "test", "image"),
}
DISTANCES = (0, 2, 4, 6, 8)
COPIES = 2000


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    """Encoded anew."""

    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def scaled(factor: float) -> Callable[[Image.Image], Image.Image]:
    """Of another size."""
    return lambda image: image.resize(
        (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
    )


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    """Without so much of it at each side, at least one pixel."""

    def change(image: Image.Image) -> Image.Image:
        edge = max(1, round(image.width * share))
        return image.crop((edge, edge, image.width - edge, image.height - edge))

    return change


CHANGES = {
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "× 2": scaled(2.0),
    "× 0.75": scaled(0.75),
    "× 0.5": scaled(0.5),
    "cropped 2 %": cropped(0.02),
    "cropped 5 %": cropped(0.05),
}


def hashes(images: list[Image.Image]) -> Hashes:
    """Exact and near."""
    exact = np.array([exact_of_image(image) for image in images], dtype=np.uint64)
    return exact, near_of(np.stack([grid_of_image(image) for image in images]), exact)


def read(name: str) -> list[Image.Image] | None:
    """The pictures of a set; None if it is not there."""
    repository, split, column = SETS[name]
    path = split_path(repository, None, split)
    if not path.exists():
        return None
    return [decode(data).image for _, data in MirrorFile(path, Columns(column, None)).images()]


def main() -> None:
    """Print it all."""
    images = {name: found for name in SETS if (found := read(name))}
    known = {name: hashes(pictures) for name, pictures in images.items()}
    print("images of the second set that the first has, exactly, and within so many bits")
    for one, other in combinations(known, 2):
        found = {d: int(overlapping(known[one], known[other], d).sum()) for d in (-1, *DISTANCES)}
        print(f"  {one}, {other} ({len(images[other]):,}): {found}")
    print("distance that tells a set's own pictures apart")
    for name, found_hashes in known.items():
        print(f"  {name}: {usable_distance(found_hashes)}")
    print("share of changed copies that are found")
    for name, pictures in images.items():
        near = known[name][1][:COPIES]
        for called, change in CHANGES.items():
            apart = np.unpackbits((hashes([change(p) for p in pictures[:COPIES]])[1] ^ near).view(np.uint8))
            bits = apart.reshape(len(near), 64).sum(axis=1)
            print(f"  {name}, {called}: { {d: round(float((bits <= d).mean()), 3) for d in DISTANCES} }")
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 2**64, size=50_000, dtype=np.uint64)
    for n in (50_000, 1_000_000):
        codes = rng.integers(0, 2**64, size=n, dtype=np.uint64)
        began = time.perf_counter()
        overlapping((codes, codes), (asked, asked), DISTANCE)
        print(f"{n:,} × 50,000 random codes: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
