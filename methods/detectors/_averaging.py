"""What is made of the predictions of several networks, or of one network several times.

Not a detector: files that begin with an underscore are not registered.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Statistic = Literal["msp", "entropy", "mutual_information"]


def check_statistic(statistic: str) -> None:
    """Raise `ValueError` for a statistic that there is not."""
    if statistic not in get_args(Statistic):
        raise ValueError(f"statistic: expected one of {', '.join(get_args(Statistic))}, got {statistic!r}")


def agreement(logits: Tensor, statistic: Statistic) -> Tensor:
    r"""Score logits (N, M, K) of M members: (N,), higher where they are sure and agree.

    .. math::
        \bar p = \frac{1}{M} \sum_m p_m, \qquad p_m = \mathrm{softmax}(z_m), \qquad
        H(p) = -\sum_k p_k \log p_k

    ``msp`` is :math:`\max_k \bar p_k`, ``entropy`` is :math:`-H(\bar p)`, and ``mutual_information`` is
    :math:`-\mathrm{MI} = \frac{1}{M} \sum_m H(p_m) - H(\bar p)`, which is 0 where all members agree.
    """
    p = torch.softmax(logits, dim=2)
    mean = p.mean(dim=1)  # (N, K)
    if statistic == "msp":
        return mean.amax(dim=1)
    if statistic == "entropy":
        return _negative_entropy(mean)
    return _negative_entropy(mean) - _negative_entropy(p).mean(dim=1)


def _negative_entropy(p: Tensor) -> Tensor:
    terms: Tensor = torch.special.xlogy(p, p)
    return terms.sum(dim=-1)
