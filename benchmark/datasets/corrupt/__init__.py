"""The operations behind `benchmark.datasets.shifts`, by the paper's families: noise, blur, weather, digital.

Source: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261. `warp` has the interpolations that several of them share.

Every operation takes float64 images (N, C, H, W) in [0, 1] and gives such images back, perhaps beyond [0, 1]:
`shift` clips and quantises. What one draws for an image is drawn in one piece, and the images' pieces follow
one another, so that a set that is cut into chunks comes out the same. These modules must not know the names
of the corruptions, nor their severities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Images (N, C, H, W), or anything else that is measured in intensities or in pixels."""

Places = NDArray[np.intp]
"""Indices of pixels."""
