"""Noise: every value of every image on its own."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.corrupt import Floats


def add_noise(x: Floats, noise: Floats, sigma: float) -> Floats:
    r"""Return :math:`\mathrm{clip}(x + \sigma\,\varepsilon, 0, 1)` for unit noise ε of the shape of `x`."""
    return np.clip(x + sigma * noise, 0.0, 1.0)


def gaussian_noise(x: Floats, rng: np.random.Generator, sigma: float) -> Floats:
    """Add normal noise of standard deviation `sigma`."""
    return add_noise(x, rng.standard_normal(x.shape), sigma)


def shot_noise(x: Floats, rng: np.random.Generator, photons: float) -> Floats:
    r"""Count photons: :math:`\mathrm{Poisson}(x\,c) / c`, where white is `photons` of them on average."""
    return rng.poisson(x * photons) / photons


def impulse_noise(x: Floats, rng: np.random.Generator, amount: float) -> Floats:
    """Turn a share `amount` of the values, each channel by itself, into 0 or 1 with equal chances.

    One uniform number decides both: below `amount` / 2 it is pepper, from there to `amount` salt.
    """
    chance = rng.random(x.shape)
    return np.where(chance < amount, chance >= amount / 2, x)
