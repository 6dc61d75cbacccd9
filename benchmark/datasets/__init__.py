"""The datasets of the benchmark: catalog, embedded sets, splits, shifts and fractals for pre-training.

Everything here is computed on this machine from a name, an image size and a seed, without any network.
Scikit-learn, matplotlib, SciPy and Pillow are loaded when a set is built, not when this package is imported.

Importing `embedded` and `procedural` is what fills the catalog.
"""

from benchmark.datasets import embedded, procedural
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
from benchmark.datasets.fractals import FRACTAL_PRESETS, FractalConfig, fractal_categories, fractal_images
from benchmark.datasets.shifts import SEVERITIES, ShiftKind, ShiftScale, shift
from benchmark.datasets.splits import Split, balanced_split

__all__ = [
    "FRACTAL_PRESETS",
    "SEVERITIES",
    "UNLABELLED",
    "Dataset",
    "DatasetCard",
    "EmbeddedDataset",
    "FractalConfig",
    "ImageSet",
    "ShiftKind",
    "ShiftScale",
    "Split",
    "UnknownDatasetError",
    "balanced_split",
    "dataset",
    "dataset_names",
    "embedded",
    "fractal_categories",
    "fractal_images",
    "procedural",
    "register",
    "shift",
    "to_uint8",
]
