"""What the one pass keeps of a stage's feature map: a few numbers a channel, never the map itself.

Every function takes maps (N, C, H, W) and depends on each image alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

POWERS = 5  # of the Gram statistics
AT_ONCE = 2**18  # activations worked on at once: they and their powers stay in the cache
_TINY = 1e-30  # below any activation that counts; keeps a map of zeros from dividing by zero


def pooled(maps: Tensor) -> Tensor:
    """Average over all positions: (N, C)."""
    return maps.mean(dim=(2, 3))


def gram(maps: Tensor, powers: int = POWERS) -> Tensor:
    r"""Signed roots of the row sums of Gram matrices (Sastry & Oore 2020, as in their release; spec §1.12).

    With F (C × S) the map of one image, S positions, and elementwise powers,

    .. math::
        G_q = F^{\circ q} (F^{\circ q})^\top, \quad r_q = G_q \mathbf 1, \quad
        v_q = \mathrm{sign}(r_q) \, |r_q|^{1/q}, \qquad q = 1, \dots, Q

    No Gram matrix is formed: :math:`r_q` is :math:`F^{\circ q}` times its own column sums, O(CS). Since
    :math:`v_q` is homogeneous of degree 2 in F, each map is divided by its largest magnitude first and the
    result multiplied by its square, so that high powers do not overflow.

    Returns (N, Q, C), in the type of the maps.
    """
    flat = maps.permute(0, 2, 3, 1).flatten(1, 2)  # (N, S, C): no copy of maps that are channels-last
    rows = max(1, AT_ONCE // max(1, flat.shape[1] * flat.shape[2]))
    return torch.cat([_gram(part, powers) for part in torch.split(flat, rows)])


def _gram(flat: Tensor, powers: int) -> Tensor:
    largest = flat.abs().amax(dim=(1, 2), keepdim=True).clamp_min(_TINY)
    flat = flat / largest
    power, found = flat, []
    for q in range(1, powers + 1):
        rows = torch.bmm(power.sum(dim=2)[:, None, :], power)[:, 0]  # (N, C)
        found.append(_signed_root(rows, q))
        if q < powers:
            power = power * flat
    return torch.stack(found, dim=1) * largest.square()


def _signed_root(values: Tensor, q: int) -> Tensor:
    if q == 1:
        return values
    size = values.abs()
    for _ in range(2 if q == 4 else q == 2):  # square roots are several times faster than other powers
        size = size.sqrt()
    return torch.copysign(size if q in (2, 4) else size.pow(1.0 / q), values)


def rank_one(maps: Tensor) -> Tensor:
    r"""The leading singular component of each map, averaged over all positions (Song et al. 2022).

    Of :math:`F = \sum_i \sigma_i u_i v_i^\top` (C × S) it is
    :math:`\sigma_1 u_1 \, \overline{v_1}`. The decomposition is of the smaller of :math:`F^\top F` and
    :math:`F F^\top`, in float64.

    Returns (N, C), in the type of the maps.
    """
    flat = maps.flatten(2).double()  # (N, C, S)
    mean = flat.mean(dim=2)  # (N, C)
    if flat.shape[1] <= flat.shape[2]:
        u = torch.linalg.eigh(flat @ flat.mT).eigenvectors[:, :, -1]  # (N, C)
        component: Tensor = u * (u * mean).sum(dim=1, keepdim=True)  # u u' F 1/S
    else:
        v = torch.linalg.eigh(flat.mT @ flat).eigenvectors[:, :, -1]  # (N, S)
        component = torch.einsum("ncs,ns->nc", flat, v) * v.mean(dim=1, keepdim=True)
    return component.to(maps.dtype)
