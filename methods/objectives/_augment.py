"""Random views of a batch of images. All numbers come from a generator on the CPU; no loop over images."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

GRAY = (0.299, 0.587, 0.114)  # luma of red, green and blue (ITU-R BT.601)
# Red, green and blue to luma and two axes of chroma, in which a hue is an angle (NTSC's YIQ).
CHROMA = (GRAY, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


def contrastive_view(images: Tensor, rng: torch.Generator, flip: bool = True) -> Tensor:
    """Crop and resize, mirror, jitter colours (0.4, 0.4, 0.4, 0.1; probability 0.8), gray (0.2)."""
    cropped = resized_crop(images, rng, flip=flip)
    return gray(colour_jitter(cropped, rng), rng)


def weak_view(images: Tensor, rng: torch.Generator, flip: bool = True) -> Tensor:
    """Move by up to an eighth of the side, mirror with probability 1/2."""
    return shift(images, rng, images.shape[-1] // 8, flip)


def resized_crop(
    images: Tensor,
    rng: torch.Generator,
    area: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = True,
) -> Tensor:
    """Cut a random box out of each image (B, C, H, W), resize it to the whole and mirror every second.

    The box's share of the area is uniform, the logarithm of its aspect ratio too; sides that would exceed the
    image are cut to it. Bilinear, without a filter against aliasing: boxes are never larger than the image.
    """
    share = _uniform(images, rng, *area)
    aspect = _uniform(images, rng, math.log(ratio[0]), math.log(ratio[1])).exp()
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    across = (1 - width) * _uniform(images, rng, -1, 1)
    down = (1 - height) * _uniform(images, rng, -1, 1)
    mirror = torch.where(_chosen(images, rng, 0.5 if flip else 0.0), -1.0, 1.0)
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = width * mirror, across
    theta[:, 1, 1], theta[:, 1, 2] = height, down
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    found = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return found.clamp(0, 1)


def shift(images: Tensor, rng: torch.Generator, reach: int, flip: bool = True) -> Tensor:
    """Move each image by up to `reach` pixels both ways, reflected at its border; mirror every second."""
    count, _, height, width = images.shape
    moves = torch.randint(-reach, reach + 1, (2, count, 1), generator=rng)
    rows = _reflected(torch.arange(height) + moves[0], height)  # (B, H)
    columns = _reflected(torch.arange(width) + moves[1], width)  # (B, W)
    mirrored = torch.rand(count, 1, generator=rng) < (0.5 if flip else 0.0)
    columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def colour_jitter(
    images: Tensor,
    rng: torch.Generator,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    probability: float = 0.8,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, with `probability`, in random order.

    Factors are uniform within 1 ± the strength, the hue's angle within ± `hue` of a full turn. The order is
    drawn once for the batch. A hue is turned about the gray axis, which leaves the luma as it is.
    """
    changed = images
    for kind in torch.randperm(4, generator=rng).tolist():
        if kind == 3:
            changed = _turned(changed, _uniform(images, rng, -hue, hue))
            continue
        strength = (brightness, contrast, saturation)[kind]
        factor = _uniform(images, rng, 1 - strength, 1 + strength)[:, None, None, None]
        luma = _luma(changed)
        towards = (torch.zeros_like(luma), luma.mean(dim=(2, 3), keepdim=True), luma)[kind]
        changed = (towards + factor * (changed - towards)).clamp(0, 1)
    return torch.where(_chosen(images, rng, probability)[:, None, None, None], changed, images)


def gray(images: Tensor, rng: torch.Generator, probability: float = 0.2) -> Tensor:
    """Put the luma in place of all three channels of each image, with `probability`."""
    luma = _luma(images).expand_as(images)
    return torch.where(_chosen(images, rng, probability)[:, None, None, None], luma, images)


def _uniform(images: Tensor, rng: torch.Generator, low: float, high: float) -> Tensor:
    return (low + (high - low) * torch.rand(len(images), generator=rng)).to(images)


def _chosen(images: Tensor, rng: torch.Generator, probability: float) -> Tensor:
    return (torch.rand(len(images), generator=rng) < probability).to(images.device)


def _reflected(places: Tensor, side: int) -> Tensor:
    return (side - 1) - ((side - 1) - places.abs()).abs()


def _luma(images: Tensor) -> Tensor:
    return (images * images.new_tensor(GRAY)[:, None, None]).sum(dim=1, keepdim=True)


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    to = images.new_tensor(CHROMA)
    angle = 2 * math.pi * turns
    turn = images.new_zeros(len(images), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    # Of the small matrices alone, so that no image goes through a product in reduced precision.
    mix = torch.linalg.solve(to.double(), turn.double() @ to.double()).to(images)  # (B, 3, 3)
    red, green, blue = images[:, None].unbind(dim=2)  # (B, 1, H, W) each
    r, g, b = mix[..., None, None].unbind(dim=2)  # (B, 3, 1, 1) each
    turned: Tensor = r * red + g * green + b * blue
    return turned.clamp(0, 1)
