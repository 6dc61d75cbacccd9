r"""Hashes of images: equal pixels have equal ones, and pictures that look alike have similar ones.

The near hash is that of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
(2010), section 3.2.1: with :math:`G` the luma reduced to 32×32 and :math:`C = D G D^\top` its discrete cosine
transform, bit :math:`8i + j` says whether :math:`C_{i+1,j+1}`, :math:`0 \le i, j < 8`, is above the median of
the 64. Brightness and contrast change none of them. A picture without structure in both directions (these 64
explain less than half a grey level) has a hash made from its exact one: plain pictures, and those of straight
stripes alone, are alike only if they are equal.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmark.metrics.arrays import as_array

SIDE = 32  # pixels of what the near hash looks at
BITS = 8  # rows and columns of frequencies
_PLAIN = 0.5  # grey levels
_LUMA = (0.299, 0.587, 0.114)
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio: spreads an exact hash over the near ones

Codes = NDArray[np.uint64]


def exact_of_image(image: Image.Image) -> int:
    """64 bits of size and pixels of an RGB picture."""
    return _digest(f"{image.size} pixels;".encode(), image.tobytes())


def exact_of_tensor(image: Tensor) -> int:
    """64 bits of shape, type and values of an image (C, H, W); of uint8 RGB, those of `exact_of_image`."""
    array = np.ascontiguousarray(as_array(image))
    if array.dtype == np.uint8 and len(array) == 3:
        _, height, width = array.shape
        return _digest(f"{(width, height)} pixels;".encode(), array.transpose(1, 2, 0).tobytes())
    return _digest(f"{array.shape} {array.dtype.str};".encode(), array.tobytes())


def grid_of_image(image: Image.Image) -> NDArray[np.uint8]:
    """The luma of a picture, reduced to (32, 32)."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def grids_of_tensors(images: Tensor) -> NDArray[np.float32]:
    """The same of images (N, C, H, W) on the CPU, pixels or floats of any scale: (N, 32, 32).

    Floats are stretched to 0..255 over their own range, as nobody knows how they were normalised.
    """
    x = images.detach().to(torch.float32)
    grey = (x * x.new_tensor(_LUMA)[:, None, None]).sum(1) if x.shape[1] == 3 else x.mean(1)
    if images.dtype != torch.uint8:
        low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
        grey = (grey - low) / (high - low).clamp_min(1e-12) * 255.0
    size = (SIDE, SIDE)
    small = torch.nn.functional.interpolate(grey[:, None], size, mode="bilinear", antialias=True)
    grids: NDArray[np.float32] = small[:, 0].numpy()
    return grids


def near_of(grids: NDArray[Any], exact: Codes) -> Codes:
    """The near hash of each image.

    Parameters
    ----------
    grids : array (N, 32, 32)
        Luma, 0..255.
    exact : uint64 array (N,)

    Returns
    -------
    uint64 array (N,)
    """
    d = _cosines()
    c = (d @ np.asarray(grids, dtype=np.float64) @ d.T).reshape(len(grids), BITS * BITS)
    bits = c > np.median(c, axis=1, keepdims=True)
    codes = np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
    # Parseval: the mean square over the 32×32 pixels of what these frequencies make of the picture.
    plain = np.square(c).sum(axis=1) < _PLAIN**2 * SIDE * SIDE
    return np.where(plain, exact * _ODD, codes)


@cache
def _cosines() -> NDArray[np.float64]:
    """Rows 1 to 8 of the orthonormal cosine transform of 32 samples: (8, 32)."""
    k, n = np.arange(1, BITS + 1)[:, None], np.arange(SIDE)
    rows: NDArray[np.float64] = np.sqrt(2.0 / SIDE) * np.cos(np.pi * (2 * n + 1) * k / (2 * SIDE))
    return rows


def _digest(head: bytes, data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(head + data, digest_size=8).digest(), "big")
