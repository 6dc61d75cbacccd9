"""One number for the error over strengths of label noise, from none to all.

Functions take strengths (S,) from 0 to 1 and the error at each (S,). This module must not know what noise it
was. Definitions: spec/methods.md §4.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from benchmark.metrics.statistics import Vector, finite_vector


def error_curve_area(strengths: ArrayLike, errors: ArrayLike) -> float:
    r"""Area under the error curve, :math:`\int_0^1 \mathrm{err}(p)\,dp`, by the trapezoid rule.

    .. math:: \sum_s (p_{s+1} - p_s) \frac{e_s + e_{s+1}}{2}

    Parameters
    ----------
    strengths : (S,) strictly ascending from 0 to 1; the steps need not be equal.
    errors : (S,) in [0, 1], not percent.

    Raises
    ------
    ValueError
        If shapes differ, the strengths do not ascend, do not start at 0 or do not end at 1, or an error is
        outside [0, 1].

    Examples
    --------
    >>> error_curve_area([0, 0.5, 1], [0.0, 0.25, 1.0])
    0.375
    """
    p, e = _curve(strengths, errors)
    return float(np.sum(np.diff(p) * (e[1:] + e[:-1])) / 2)


def error_curve_mean(strengths: ArrayLike, errors: ArrayLike) -> float:
    """Plain mean of the errors, whatever the steps between the strengths; arguments as `error_curve_area`.

    It is not documented whether published tables show this or the area.
    """
    _, e = _curve(strengths, errors)
    return float(np.mean(e))


def _curve(strengths: ArrayLike, errors: ArrayLike) -> tuple[Vector, Vector]:
    p, e = finite_vector("strengths", strengths), finite_vector("errors", errors)
    if p.size != e.size:
        raise ValueError(f"errors: expected one for each of {p.size} strengths, got {e.size}")
    if p[0] != 0 or p[-1] != 1:
        raise ValueError(f"strengths: expected a range from 0 to 1, got {p[0]} to {p[-1]}")
    if not (np.diff(p) > 0).all():
        raise ValueError(f"strengths: expected an ascending order without repeats, got {p.tolist()}")
    if e.min() < 0 or e.max() > 1:
        raise ValueError(f"errors: expected shares in [0, 1], got {e.min()} to {e.max()}")
    return p, e
