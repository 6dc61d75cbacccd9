"""Simple operations on images of 256 levels, another for each image of a batch; no loop over images.

None of them is among the corruptions that robustness is tested with (Hendrycks & Dietterich 2019), nor among
those held out to validate on: no contrast, brightness, saturation or sharpness by a factor, no noise, no
blur. Random numbers come from a generator on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

TOP = 255  # the highest level
LEAST, MOST = 0.1, 10.0  # of a severity


def check_severity(severity: float) -> None:
    """Check the largest level that operations are drawn with."""
    if not LEAST <= severity <= MOST:
        raise ValueError(f"severity: expected a number from {LEAST:g} to {MOST:g}, got {severity}")


def quantised(images: Tensor) -> Tensor:
    """Levels (N, C, H, W), whole numbers from 0 to 255, of images in [0, 1]."""
    return (images * TOP).round()


def varied(levels: Tensor, rng: torch.Generator, severity: float) -> Tensor:
    """Change each image (N, C, H, W) by one of the nine operations, all equally likely.

    Its strength is uniform between 0.1 and `severity`, of a greatest one of 10; its direction is drawn too.
    As many numbers are drawn whichever operations come out.
    """
    count = len(levels)
    kinds = torch.randint(len(FLAT) + MOVING, (count,), generator=rng)
    strengths = LEAST + (severity - LEAST) * torch.rand(count, generator=rng, dtype=torch.float64)
    signs = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0).double()
    changed = levels.clone()
    for kind, operation in enumerate(FLAT):
        (rows,) = torch.where(kinds == kind)
        if len(rows):
            here = rows.to(levels.device)
            changed[here] = operation(levels[here], strengths[rows])
    (rows,) = torch.where(kinds >= len(FLAT))
    if len(rows):
        here = rows.to(levels.device)
        _, _, height, width = levels.shape
        maps = moves(kinds[rows] - len(FLAT), strengths[rows] * signs[rows], height, width)
        changed[here] = moved(levels[here], maps)
    return changed


def autocontrast(levels: Tensor, strengths: Tensor) -> Tensor:
    """Stretch each channel so that its lowest level becomes 0 and its highest 255; flat ones stay.

    Whatever the strength.
    """
    low, high = levels.amin(dim=(2, 3), keepdim=True), levels.amax(dim=(2, 3), keepdim=True)
    stretched = ((levels - low) * TOP / (high - low).clamp(min=1)).floor()
    return torch.where(high > low, stretched, levels)


def equalize(levels: Tensor, strengths: Tensor) -> Tensor:
    """Map the levels of each channel so that about as many pixels have each; flat ones stay.

    A level with b of the P pixels below becomes ⌊(⌊s/2⌋ + b) / s⌋, at most 255, with s = ⌊(P − t) / 255⌋ and
    t pixels at the top level; where s = 0, such as in small images, the channel stays. Whatever the strength.
    """
    count, channels = levels.shape[:2]
    flat = levels.long().reshape(count * channels, -1)
    which = flat + (TOP + 1) * torch.arange(len(flat), device=flat.device)[:, None]
    pixels = torch.bincount(which.flatten(), minlength=(TOP + 1) * len(flat)).reshape(-1, TOP + 1)
    below = pixels.cumsum(dim=1) - pixels  # of each level
    step = below.gather(1, flat.amax(dim=1, keepdim=True)) // TOP
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=TOP)
    mapped = table.gather(1, flat).reshape(levels.shape).to(levels)
    return torch.where(step.reshape(count, channels, 1, 1) > 0, mapped, levels)


def posterize(levels: Tensor, strengths: Tensor) -> Tensor:
    """Keep the highest four of the eight bits of each level (N, C, H, W); at a strength of 10 none."""
    unit = _each(torch.exp2(4 + (strengths * 4 / MOST).floor()), levels)
    return (levels / unit).floor() * unit


def solarize(levels: Tensor, strengths: Tensor) -> Tensor:
    """Invert the levels (N, C, H, W) from 256 downwards; at a strength of 10 all of them."""
    threshold = TOP + 1 - (strengths * (TOP + 1) / MOST).floor()
    return torch.where(levels < _each(threshold, levels), levels, TOP - levels)


# Of levels (N, C, H, W) and strengths (N,) from 0.1 to 10. These look at levels, the others move pixels.
FLAT: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (autocontrast, equalize, posterize, solarize)
MOVING = 5  # rotation, shears across and down, translations across and down


def moves(kinds: Tensor, strengths: Tensor, height: int, width: int) -> Tensor:
    """(N, 2, 3) float64: from where each pixel comes, for the kinds (N,) 0 to 4 of `MOVING`.

    Of places x from 0 to `width` and y from 0 to `height`; signed strengths (N,). At a strength of 10 an
    image is rotated by 30 degrees about its centre, sheared by 0.3 or translated by a third of its side.
    Whole degrees and whole pixels.
    """
    count = len(kinds)
    maps = torch.eye(2, 3, dtype=torch.float64).repeat(count, 1, 1)
    chosen = [kinds == kind for kind in range(MOVING)]
    angle = torch.where(chosen[0], (strengths * 30 / MOST).trunc() * (math.pi / 180), 0.0)
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    maps[:, 0, 0] = maps[:, 1, 1] = cos
    maps[:, 0, 1] = torch.where(chosen[1], strengths * (0.3 / MOST), -sin)
    maps[:, 1, 0] = torch.where(chosen[2], strengths * (0.3 / MOST), sin)
    maps[:, 0, 2] = torch.where(chosen[3], (strengths * (width / 3 / MOST)).trunc(), x - cos * x + sin * y)
    maps[:, 1, 2] = torch.where(chosen[4], (strengths * (height / 3 / MOST)).trunc(), y - sin * x - cos * y)
    return maps


def moved(levels: Tensor, maps: Tensor) -> Tensor:
    """Take each pixel of levels (N, C, H, W) from where maps (N, 2, 3) say; 0 from outside.

    Between pixels bilinear, rounded to a level.
    """
    _, _, height, width = levels.shape
    # Elementwise: a product of matrices may be of reduced precision. Centres of pixels are at halves.
    x, y = (torch.arange(n, dtype=torch.float64) + 0.5 for n in (width, height))
    m = maps[:, :, :, None, None]
    across = (m[:, 0, 0] * x + m[:, 0, 1] * y[:, None] + m[:, 0, 2]) / width  # (N, H, W) from 0 to 1
    down = (m[:, 1, 0] * x + m[:, 1, 1] * y[:, None] + m[:, 1, 2]) / height
    inside = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
    grid = (2 * torch.stack([across, down], dim=3) - 1).to(levels)
    found = functional.grid_sample(levels, grid, padding_mode="border", align_corners=False).round()
    return torch.where(inside[:, None].to(levels.device), found, 0.0)


def _each(values: Tensor, levels: Tensor) -> Tensor:
    return values.to(levels)[:, None, None, None]
