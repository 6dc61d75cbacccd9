r"""How much corruptions cost a classifier: errors by type and severity in, three means out.

Source: D. Hendrycks, T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261, §4.1. For type c and severity s, with the errors E of the network
and B of a base network, and their errors E₀ and B₀ on clean images:

.. math::

    \mathrm{CE}_c = \frac{\sum_s E_{c,s}}{\sum_s B_{c,s}}, \qquad
    \mathrm{relative\ CE}_c = \frac{\sum_s (E_{c,s} - E_0)}{\sum_s (B_{c,s} - B_0)}

mCE and relative mCE are the means over the types. Errors come in as shares, results go out as percentages.
This module must not know which types there are, nor who measured the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics.arrays import as_array
from benchmark.metrics.statistics import Vector, finite_vector

ALEXNET_IMAGENET_C: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 0.886428,
        "shot_noise": 0.894468,
        "impulse_noise": 0.922640,
        "defocus_blur": 0.819880,
        "glass_blur": 0.826268,
        "motion_blur": 0.785948,
        "zoom_blur": 0.798360,
        "snow": 0.866816,
        "frost": 0.826572,
        "fog": 0.819324,
        "brightness": 0.564592,
        "contrast": 0.853204,
        "elastic_transform": 0.646056,
        "pixelate": 0.717840,
        "jpeg_compression": 0.606500,
    }
)
"""Errors of the paper's base network, AlexNet, on the published ImageNet-C; means over the severities."""


@dataclass(frozen=True)
class MeanCorruptionError:
    """Means over `n_types` types of corruption, in percent.

    `error` is the plain mean error. `mce` is relative to the base network, None without one; `relative_mce`
    is what the corruptions add to the clean errors, relative to what they add to the base's, None without
    these; a type that lowers the base's error turns its sign. Numbers over different types do not compare.
    """

    error: float
    mce: float | None
    relative_mce: float | None
    n_types: int


def corruption_errors(errors: Mapping[str, ArrayLike], base: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Errors under each type of corruption relative to a base network: CE, in percent.

    Parameters
    ----------
    errors : (S,) errors in [0, 1] of each type, by severity.
    base : those of the base network, or their mean over the severities; of more types if you like.

    Returns
    -------
    dict
        A number for each type of `errors`, in its order.

    Raises
    ------
    ValueError
        If there are no types, `base` lacks one, types differ in their number of severities, an error is not
        in [0, 1], or the base network makes no error on a type.

    Examples
    --------
    >>> corruption_errors({"fog": [0.1, 0.3]}, {"fog": [0.2, 0.6], "snow": [0.4, 0.5]})
    {'fog': 50.0}
    """
    return _relative_to(_by_type(errors), base, 0.0, 0.0)


def mean_corruption_error(
    errors: Mapping[str, ArrayLike],
    base: Mapping[str, ArrayLike] | None = None,
    clean: float | None = None,
    base_clean: float | None = None,
) -> MeanCorruptionError:
    """Mean error over types and severities, mCE and relative mCE.

    Parameters
    ----------
    errors, base : see `corruption_errors`.
    clean, base_clean : errors in [0, 1] of the two networks on clean images; both or none.

    Returns
    -------
    MeanCorruptionError

    Raises
    ------
    ValueError
        As `corruption_errors`; also if one clean error comes without the other or without a base, or a type
        of corruption does not change the base's error.

    Examples
    --------
    >>> mean_corruption_error({"fog": [0.25, 0.75], "snow": [0.5, 1.0]}).error
    62.5
    """
    rows = _by_type(errors)
    if (clean is None) != (base_clean is None) or (clean is not None and base is None):
        raise ValueError(
            f"relative mCE needs base, clean and base_clean together, got clean={clean}, "
            f"base_clean={base_clean} and {'no' if base is None else 'a'} base"
        )
    mce = relative = None
    if base is not None:
        mce = _mean(_relative_to(rows, base, 0.0, 0.0))
        if clean is not None and base_clean is not None:
            relative = _mean(
                _relative_to(rows, base, _share("clean", clean), _share("base_clean", base_clean))
            )
    return MeanCorruptionError(100.0 * float(np.mean(list(rows.values()))), mce, relative, len(rows))


def _relative_to(
    rows: dict[str, Vector], base: Mapping[str, ArrayLike], clean: float, base_clean: float
) -> dict[str, float]:
    if absent := [kind for kind in rows if kind not in base]:
        raise ValueError(f"base: no errors of {', '.join(absent)}; it has {', '.join(base) or 'none'}")
    ratios = {}
    for kind, row in rows.items():
        others = _shares(f"base[{kind!r}]", np.atleast_1d(as_array(base[kind])))
        if others.size not in (1, row.size):
            raise ValueError(
                f"base[{kind!r}]: expected {row.size} severities as in errors, or their mean, "
                f"got {others.size}"
            )
        added = float(others.mean()) - base_clean
        if abs(added) < _NO_ERROR:
            raise ValueError(
                f"base[{kind!r}]: its mean error, {others.mean():g}, is that of "
                f"{'clean images' if base_clean else 'a perfect network'}; no ratio to it exists"
            )
        ratios[kind] = 100.0 * (float(row.mean()) - clean) / added
    return ratios


_NO_ERROR = 1e-12
"""Differences of errors below this are rounding."""


def _by_type(errors: Mapping[str, ArrayLike]) -> dict[str, Vector]:
    if not errors:
        raise ValueError("errors: expected at least one type of corruption, got none")
    rows = {kind: _shares(f"errors[{kind!r}]", values) for kind, values in errors.items()}
    if len({row.size for row in rows.values()}) > 1:
        sizes = ", ".join(f"{kind} {row.size}" for kind, row in rows.items())
        raise ValueError(f"errors: expected as many severities for every type, got {sizes}")
    return rows


def _shares(name: str, values: ArrayLike) -> Vector:
    vector = finite_vector(name, values)
    if vector.min() < 0.0 or vector.max() > 1.0:
        raise ValueError(f"{name}: expected shares in [0, 1], got {vector.min():g} to {vector.max():g}")
    return vector


def _share(name: str, value: float) -> float:
    return float(_shares(name, [value])[0])


def _mean(ratios: dict[str, float]) -> float:
    return float(np.mean(list(ratios.values())))
