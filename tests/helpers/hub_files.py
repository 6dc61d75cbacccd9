"""Small Parquet files as the Hub's datasets have them, written by the Hub's own library."""

import io
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmark.datasets import DatasetCard, HubDataset

CLASSES = ("ant", "bee", "cat")


def noise(height=8, width=8, channels=3, seed=0):
    """Random pixels (H, W, C), or (H, W) of one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(pixels, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def write_split(path: Path, encoded, labels=None, names=CLASSES, image="image", label="label", **options):
    """Write encoded images, and labels if there are any, through `datasets`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {image: [{"bytes": data, "path": None} for data in encoded]}
    features = {image: datasets.Image()}
    if labels is not None:
        columns[label] = list(labels)
        features[label] = datasets.ClassLabel(names=list(names))
    made = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    made.to_parquet(path, **options)
    return path


def write_raw(path: Path, **columns):
    """Write columns of any kind, without the library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False)
    return path


def images_column(encoded):
    """A column as the library stores it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": data, "path": None} for data in encoded], type=kind)


def hub_dataset(name="insects", rows=6, labelled=True, repository="us/insects", splits=None, **about):
    """A dataset of three classes that is in no catalog."""
    splits = splits or {"test": rows, "train": rows}
    card = DatasetCard(
        name,
        "Insects",
        "description",
        "https://example.org/insects",
        "CC0",
        "citation",
        size=next(iter(splits.values())),
        labelled=labelled,
        class_names=CLASSES if labelled else (),
    )
    label = "label" if labelled else None
    return HubDataset(card, splits, repository=repository, label_column=label, **about)
