"""Operations on levels: against Pillow, whose the releases of AugMix and PixMix are, and what is drawn."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn import functional

from methods.objectives import _operations
from methods.objectives._operations import MOVING, autocontrast, equalize, moved, moves, posterize, solarize

ROTATE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y = range(MOVING)


def pictures(n=6, height=40, width=40, seed=0):
    """Levels of smooth colour images, of which the levels' ranges differ; float32 (N, 3, H, W)."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(n, 3, 5, 5, generator=rng)
    smooth = functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    top = torch.linspace(0.4, 1, n)[:, None, None, None]
    return (255 * (0.2 * (1 - top) + 0.8 * top * smooth)).round()


def by_pillow(levels, what):
    """What Pillow makes of each image."""
    images = [Image.fromarray(image.permute(1, 2, 0).numpy().astype(np.uint8)) for image in levels]
    found = [torch.from_numpy(np.array(what(image))).permute(2, 0, 1) for image in images]
    return torch.stack(found).to(levels)


def strength(value, n=6):
    return torch.full((n,), value, dtype=torch.float64)


def test_autocontrast_is_pillows():
    levels = pictures()
    found, expected = autocontrast(levels, strength(1.0)), by_pillow(levels, ImageOps.autocontrast)
    assert (found - expected).abs().max() <= 1  # Pillow rounds the offset before it cuts fractions off
    assert (found == expected).double().mean() > 0.99
    assert found.amin(dim=(2, 3)).max() == 0
    assert found.amax(dim=(2, 3)).min() == 255


def test_autocontrast_of_the_worked_example():
    """Levels 10, 20, 40: 0, ⌊10 · 255 / 30⌋ = 85 and 255."""
    levels = torch.tensor([10.0, 20, 40, 40]).reshape(1, 1, 2, 2)
    assert autocontrast(levels, strength(1.0, 1)).flatten().tolist() == [0, 85, 255, 255]


def test_equalize_is_pillows():
    levels = pictures(height=64, width=48)
    assert torch.equal(equalize(levels, strength(1.0)), by_pillow(levels, ImageOps.equalize))


def test_equalize_of_the_worked_example():
    """Of 1024 pixels 514 at level 3, 255 at 7 and 255 at 9: s = ⌊769 / 255⌋ = 3.

    The levels become ⌊1 / 3⌋ = 0, ⌊(1 + 514) / 3⌋ = 171 and ⌊(1 + 769) / 3⌋ = 256, cut to 255.
    """
    levels = torch.tensor([3.0] * 514 + [7.0] * 255 + [9.0] * 255).reshape(1, 1, 32, 32)
    found = equalize(levels, strength(1.0, 1)).flatten()
    assert found[[0, 513, 514, 768, 769, 1023]].tolist() == [0, 0, 171, 171, 255, 255]


def test_a_small_image_cannot_be_equalized():
    levels = pictures(height=12, width=12)
    assert torch.equal(equalize(levels, strength(1.0)), levels)
    assert torch.equal(levels, by_pillow(levels, ImageOps.equalize))


@pytest.mark.parametrize(("value", "bits"), [(0.1, 4), (2.4, 4), (2.6, 3), (7.6, 1)])
def test_posterize_is_pillows(value, bits):
    levels = pictures()
    expected = by_pillow(levels, lambda image: ImageOps.posterize(image, bits))
    assert torch.equal(posterize(levels, strength(value)), expected)


@pytest.mark.parametrize(("value", "threshold"), [(0.1, 254), (3.0, 180), (10.0, 0)])
def test_solarize_is_pillows(value, threshold):
    levels = pictures()
    expected = by_pillow(levels, lambda image: ImageOps.solarize(image, threshold))
    assert torch.equal(solarize(levels, strength(value)), expected)


def affine(size, matrix):
    return lambda image: image.transform(size, Image.Transform.AFFINE, matrix, resample=Image.BILINEAR)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        (ROTATE, 3.0, lambda s, size: lambda image: image.rotate(s * 9, resample=Image.BILINEAR)),
        (ROTATE, 2.5, lambda s, size: lambda image: image.rotate(s * 7, resample=Image.BILINEAR)),
        (ROTATE, 0.3, lambda s, size: lambda image: image),  # less than a degree
        (SHEAR_X, 3.0, lambda s, size: affine(size, (1, s * 0.09, 0, 0, 1, 0))),
        (SHEAR_Y, 2.2, lambda s, size: affine(size, (1, 0, 0, s * 0.066, 1, 0))),
        (TRANSLATE_X, 2.9, lambda s, size: affine(size, (1, 0, s * int(2.9 * size[0] / 30), 0, 1, 0))),
        (TRANSLATE_Y, 2.9, lambda s, size: affine(size, (1, 0, 0, 0, 1, s * int(2.9 * size[1] / 30)))),
        (TRANSLATE_X, 0.2, lambda s, size: lambda image: image),  # less than a pixel
    ],
)
@pytest.mark.parametrize(("height", "width"), [(40, 40), (33, 48)])
def test_moving_pixels_is_pillows(kind, value, what, sign, height, width):
    levels = pictures(height=height, width=width)
    maps = moves(torch.full((6,), kind), strength(sign * value), height, width)
    found, expected = moved(levels, maps), by_pillow(levels, what(sign, (width, height)))
    assert (found - expected).abs().max() <= 1  # Pillow cuts fractions off


def test_a_translation_moves_whole_pixels_exactly():
    levels = pictures(1)
    maps = moves(torch.tensor([TRANSLATE_X]), torch.tensor([3.0], dtype=torch.float64), 40, 40)
    found = moved(levels, maps)
    assert torch.equal(found[..., :-4], levels[..., 4:])
    assert (found[..., -4:] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_is_changed_by_one_operation_into_levels(dtype):
    levels = pictures(300).to(dtype)
    before = levels.clone()
    found = _operations.varied(levels, torch.Generator().manual_seed(0), 10.0)
    assert torch.equal(levels, before)
    assert found.dtype == dtype
    assert found.shape == levels.shape
    assert torch.equal(found, found.round())
    assert found.min() >= 0
    assert found.max() <= 255


def test_an_image_is_varied_as_if_it_were_alone():
    """Numbers are drawn by place in the batch; what is in the other places changes nothing."""
    levels, rng = pictures(20), torch.Generator().manual_seed(3)
    found = _operations.varied(levels, rng, 3.0)
    levels[5] = 0
    other = _operations.varied(levels, torch.Generator().manual_seed(3), 3.0)
    rest = torch.arange(20) != 5
    assert torch.equal(found[rest], other[rest])


def test_all_nine_operations_are_as_likely(monkeypatch):
    """Of 4500 images, 500 each, with a standard deviation of √(4500 · 8) / 9 = 21."""
    counts = [0] * (4 + MOVING)

    def counting(kind):
        def operation(levels, strengths):
            counts[kind] += len(levels)
            assert strengths.min() >= 0.1
            assert strengths.max() < 3
            return levels

        return operation

    def counting_moves(kinds, strengths, height, width):
        for kind in range(MOVING):
            counts[4 + kind] += int((kinds == kind).sum())
            ours = strengths[kinds == kind]
            assert 0.4 < (ours < 0).double().mean() < 0.6
            assert ours.abs().max() < 3
        return moves(kinds, strengths, height, width)

    monkeypatch.setattr(_operations, "FLAT", tuple(counting(kind) for kind in range(4)))
    monkeypatch.setattr(_operations, "moves", counting_moves)
    _operations.varied(torch.zeros(4500, 3, 4, 4), torch.Generator().manual_seed(0), 3.0)
    assert sum(counts) == 4500
    assert max(abs(count - 500) for count in counts) < 80


def test_as_many_numbers_are_drawn_whatever_comes_out():
    states = set()
    for images in (pictures(7), torch.zeros(7, 3, 9, 9)):
        rng = torch.Generator().manual_seed(2)
        _operations.varied(images, rng, 3.0)
        states.add(rng.get_state().numpy().tobytes())
    assert len(states) == 1


def test_no_images_are_varied_into_none():
    assert _operations.varied(torch.zeros(0, 3, 8, 8), torch.Generator(), 3.0).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("level", [0.0, 100.0, 255.0])
def test_a_flat_image_stays_finite(level):
    levels = torch.full((50, 3, 32, 32), level)
    found = _operations.varied(levels, torch.Generator().manual_seed(0), 10.0)
    assert torch.isfinite(found).all()
    assert torch.equal(autocontrast(levels, strength(1.0, 50)), levels)
    assert torch.equal(equalize(levels, strength(1.0, 50)), levels)


@pytest.mark.parametrize("severity", [0.0, 0.09, 10.1, -1.0, math.inf, math.nan])
def test_a_severity_out_of_range_is_refused(severity):
    with pytest.raises(ValueError, match=r"severity: expected a number from 0.1 to 10, got"):
        _operations.check_severity(severity)
