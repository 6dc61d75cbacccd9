"""The datasets of the benchmark: catalog, embedded and Hub sets, splits, shifts, fractals for pre-training.

Embedded sets are computed on this machine from a name, an image size and a seed, without any network. Hub
sets are read from the mirror, a folder of Parquet files; `HubDataset.download` alone uses the network.
Scikit-learn, matplotlib, SciPy, Pillow and PyArrow are loaded when a set is built, not when this package is
imported.

Importing `embedded`, `procedural` and `hub_catalog` is what fills the catalog.
"""

from benchmark.datasets import embedded, hub_catalog, procedural
from benchmark.datasets.catalog import (
    UNLABELLED,
    Dataset,
    DatasetCard,
    EmbeddedDataset,
    ImageSet,
    UnknownDatasetError,
    dataset,
    dataset_names,
    register,
    to_uint8,
)
from benchmark.datasets.files import DataMissing, StoredDataset
from benchmark.datasets.fractals import FRACTAL_PRESETS, FractalConfig, fractal_categories, fractal_images
from benchmark.datasets.hub import HubDataset
from benchmark.datasets.mirror import mirror_folder
from benchmark.datasets.shifts import SEVERITIES, ShiftKind, ShiftScale, shift
from benchmark.datasets.splits import Split, balanced_split

__all__ = [
    "FRACTAL_PRESETS",
    "SEVERITIES",
    "UNLABELLED",
    "DataMissing",
    "Dataset",
    "DatasetCard",
    "EmbeddedDataset",
    "FractalConfig",
    "HubDataset",
    "ImageSet",
    "ShiftKind",
    "ShiftScale",
    "Split",
    "StoredDataset",
    "UnknownDatasetError",
    "balanced_split",
    "dataset",
    "dataset_names",
    "embedded",
    "fractal_categories",
    "fractal_images",
    "hub_catalog",
    "mirror_folder",
    "procedural",
    "register",
    "shift",
    "to_uint8",
]
