"""Covariate shifts against the published constants and worked numbers.

`test_shifts_operations.py` has the oracles of the single operations.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_sample_image

from benchmark.datasets import SEVERITIES, ShiftKind, ShiftScale, shift, shifts
from benchmark.datasets.catalog import to_uint8
from benchmark.datasets.corrupt import blur, digital, glass, noise, weather
from benchmark.datasets.shifts import KINDS, LEFT_OUT
from benchmark.metrics.corruption import ALEXNET_IMAGENET_C

# Hendrycks & Dietterich, ICLR 2019, as in the suite's specification §3.10: severities 1 to 5.
SIGMAS = {"imagenet_c": (0.08, 0.12, 0.18, 0.26, 0.38), "cifar_c": (0.04, 0.06, 0.08, 0.09, 0.10)}
CONTRASTS = {"imagenet_c": (0.4, 0.3, 0.2, 0.1, 0.05), "cifar_c": (0.75, 0.5, 0.4, 0.3, 0.15)}
DISKS = {
    "imagenet_c": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "cifar_c": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
}
EVERY = [(scale, severity) for scale in SIGMAS for severity in SEVERITIES]
IMAGES = np.random.default_rng(0).integers(0, 256, size=(4, 3, 20, 24), dtype=np.uint8)

ZOOMS = {"imagenet_c": (0.01, 0.01, 0.02, 0.02, 0.03), "cifar_c": (0.01,) * 5}
ELASTIC = {
    "imagenet_c": (
        244, [(2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)],
    ),
    "cifar_c": (
        32, [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)],
    ),
}  # fmt: skip
PUBLISHED = {
    "shot_noise": (
        noise.shot_noise,
        {"imagenet_c": [(60,), (25,), (12,), (5,), (3,)], "cifar_c": [(500,), (250,), (100,), (75,), (50,)]},
    ),
    "impulse_noise": (
        noise.impulse_noise,
        {
            "imagenet_c": [(0.03,), (0.06,), (0.09,), (0.17,), (0.27,)],
            "cifar_c": [(0.01,), (0.02,), (0.03,), (0.05,), (0.07,)],
        },
    ),
    "glass_blur": (
        glass.glass_blur,
        {
            "imagenet_c": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
            "cifar_c": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
        },
    ),
    "motion_blur": (
        blur.motion_blur,
        {
            "imagenet_c": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
            "cifar_c": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
        },
    ),
    "zoom_blur": (
        blur.zoom_blur,
        {
            "imagenet_c": list(zip((1.11, 1.16, 1.21, 1.26, 1.31), ZOOMS["imagenet_c"], strict=True)),
            "cifar_c": list(zip((1.06, 1.11, 1.16, 1.21, 1.26), ZOOMS["cifar_c"], strict=True)),
        },
    ),
    "snow": (
        weather.snow,
        {
            "imagenet_c": [
                (0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                (0.55, 0.3, 4, 0.9, 12, 8, 0.7), (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
            ],
            "cifar_c": [
                (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
            ],
        },
    ),
    "fog": (
        weather.fog,
        {
            "imagenet_c": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
            "cifar_c": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
        },
    ),
    "brightness": (
        weather.brightness,
        {
            "imagenet_c": [(0.1,), (0.2,), (0.3,), (0.4,), (0.5,)],
            "cifar_c": [(0.05,), (0.1,), (0.15,), (0.2,), (0.3,)],
        },
    ),
    "elastic_transform": (
        digital.elastic_transform,
        {scale: [tuple(side * c for c in row) for row in rows] for scale, (side, rows) in ELASTIC.items()},
    ),
    "pixelate": (
        digital.pixelate,
        {
            "imagenet_c": [(0.6,), (0.5,), (0.4,), (0.3,), (0.25,)],
            "cifar_c": [(0.95,), (0.9,), (0.85,), (0.75,), (0.65,)],
        },
    ),
    "jpeg_compression": (
        digital.jpeg_compression,
        {"imagenet_c": [(25,), (18,), (15,), (10,), (7,)], "cifar_c": [(80,), (65,), (58,), (50,), (40,)]},
    ),
}  # fmt: skip
DRAWING = (
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "fog",
    "elastic_transform",
)  # fmt: skip


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def photographs(side: int) -> np.ndarray:
    """Cut four patches from scikit-learn's photograph of a temple: sky, roofs, trees."""
    photo = load_sample_image("china.jpg").transpose(2, 0, 1)
    return np.stack(
        [photo[:, y : y + side, x : x + side] for y, x in ((0, 0), (60, 160), (200, 200), (300, 400))]
    )


def test_the_types_are_those_of_the_paper_in_its_order():
    assert list(ALEXNET_IMAGENET_C) == [*KINDS[:8], *LEFT_OUT, *KINDS[8:]]
    assert LEFT_OUT["frost"]


def test_contrast_worked_example():
    # Specification §3.10, a 1×2×3 image of channels last, c = 0.4.
    pixels = np.array([[[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]]]).transpose(2, 0, 1)
    expected = np.array([[[0.18, 0.38, 0.58], [0.42, 0.62, 0.82]]]).transpose(2, 0, 1)
    np.testing.assert_allclose(digital.scale_contrast(pixels, 0.4), expected, rtol=1e-12)


def test_gaussian_noise_worked_example():
    # Specification §3.10, noise fixed, σ = 0.08.
    pixels = np.array([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])
    unit = np.array([[1.0, -1.0, 0.0], [0.0, 2.0, 1.0]])
    expected = [[0.08, 0.12, 0.4], [0.6, 0.96, 1.0]]
    np.testing.assert_allclose(noise.add_noise(pixels, unit, 0.08), expected, rtol=1e-12)


@pytest.mark.parametrize(("scale", "severity"), EVERY)
def test_gaussian_noise_has_the_published_sigma(scale, severity):
    sigma = SIGMAS[scale][severity - 1]
    grey = np.full((20, 3, 64, 64), 128, dtype=np.uint8)
    noisy = shift(grey, "gaussian_noise", severity, scale, rng()) / 255
    # The median of |N(0, σ²)| is 0.67449 σ, below 0.5 − clipping never moves it. Rounding adds at most half a
    # level, 0.002; the median of 245,760 samples errs by less than 0.01 σ (five standard deviations).
    assert np.median(np.abs(noisy - 128 / 255)) == pytest.approx(0.67449 * sigma, abs=0.002 + 0.01 * sigma)


def test_gaussian_noise_differs_between_pixels_channels_images_and_seeds():
    grey = np.full((2, 3, 32, 32), 128, dtype=np.uint8)
    noisy = shift(grey, "gaussian_noise", 3, "imagenet_c", rng()).astype(float)
    rows = np.corrcoef(noisy.reshape(6, -1))
    # Independent rows of 1024 samples correlate within 5/sqrt(1024) = 0.16.
    assert np.abs(rows - np.eye(6)).max() < 0.16
    assert not np.array_equal(noisy, shift(grey, "gaussian_noise", 3, "imagenet_c", rng(1)))
    np.testing.assert_array_equal(noisy, shift(grey, "gaussian_noise", 3, "imagenet_c", rng()))


@pytest.mark.parametrize(("scale", "severity"), EVERY)
def test_contrast_has_the_published_factor(scale, severity):
    x = IMAGES / 255
    mean = x.mean(axis=(2, 3), keepdims=True)
    expected = np.rint((CONTRASTS[scale][severity - 1] * (x - mean) + mean) * 255)
    np.testing.assert_array_equal(shift(IMAGES, "contrast", severity, scale, rng()), expected)


@pytest.mark.parametrize(("scale", "severity"), EVERY)
def test_defocus_blur_is_a_direct_convolution_with_the_published_disk(scale, severity):
    kernel = blur.defocus_kernel(*DISKS[scale][severity - 1])
    expected = ndimage.convolve(IMAGES / 255, kernel[None, None], mode="mirror") * 255
    blurred = shift(IMAGES, "defocus_blur", severity, scale, rng())
    # The Fourier and the direct sums differ by rounding, so that a half may go either way.
    np.testing.assert_allclose(blurred, expected, rtol=0, atol=0.5 + 1e-9)


def test_defocus_kernel_of_radius_three_is_the_flat_disk_of_29_pixels():
    # x² + y² ≤ 9 has 29 integer solutions; a Gaussian of σ = 0.1 leaves e⁻⁵⁰ on its neighbours.
    kernel = blur.defocus_kernel(3, 0.1)
    assert np.sort(kernel.ravel())[-30:] == pytest.approx([0.0] + [1 / 29] * 29, abs=1e-12)


def test_defocus_kernel_below_one_pixel_is_the_gaussian_alone():
    # exp(−1 / (2 · 0.4²)) = exp(−3.125) = 0.0439369; the centre has 1 / (1 + 2 · 0.0439369)² of the weight.
    kernel = blur.defocus_kernel(0.3, 0.4)
    assert kernel.shape == (3, 3)
    assert kernel[1] == pytest.approx(np.array([0.0439369, 1.0, 0.0439369]) / 1.0878738**2, rel=1e-6)


@pytest.mark.parametrize(("radius", "alias"), [disk for disks in DISKS.values() for disk in disks])
def test_defocus_kernel_is_symmetric_and_sums_to_one(radius, alias):
    kernel = blur.defocus_kernel(radius, alias)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-12)
    for mirrored in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        np.testing.assert_allclose(kernel, mirrored, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", PUBLISHED)
@pytest.mark.parametrize(("scale", "severity"), EVERY)
def test_every_other_type_has_the_published_constants(kind, scale, severity):
    operation, constants = PUBLISHED[kind]
    expected = to_uint8(operation(IMAGES / 255, rng(), *constants[scale][severity - 1]))
    np.testing.assert_array_equal(shift(IMAGES, kind, severity, scale, rng()), expected)


BLURS = [
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "contrast",
    "elastic_transform",
    "pixelate",
]


@pytest.mark.parametrize("kind", BLURS)
@pytest.mark.parametrize("scale", ShiftScale)
def test_a_flat_image_keeps_its_level(kind, scale):
    flat = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None, None], (256, 3, 12, 12)).copy()
    np.testing.assert_array_equal(shift(flat, kind, 5, scale, rng()), flat)


@pytest.mark.parametrize("scale", ShiftScale)
@pytest.mark.parametrize("kind", ["snow", "brightness"])
def test_snow_and_light_darken_nothing_and_white_stays_white(kind, scale):
    assert (shift(IMAGES, kind, 3, scale, rng()) >= IMAGES).all()
    white = np.full((2, 3, 16, 16), 255, dtype=np.uint8)
    np.testing.assert_array_equal(shift(white, kind, 3, scale, rng()), white)


# As published, severities need not grow in every sense: glass blur on CIFAR-C blurs less at severity 4, and
# elastic transforms move pixels less far, but more unevenly.
UNEVEN = {("glass_blur", "cifar_c"), ("elastic_transform", "imagenet_c"), ("elastic_transform", "cifar_c")}


@pytest.mark.parametrize("kind", ShiftKind)
@pytest.mark.parametrize(("scale", "side"), [("imagenet_c", 96), ("cifar_c", 32)])
def test_severities_take_images_farther_from_the_original(kind, scale, side):
    clean = photographs(side)
    shifted = [shift(clean, kind, severity, scale, rng()).astype(float) for severity in SEVERITIES]
    distances = [np.sqrt(((s - clean) ** 2).mean()) for s in shifted]
    assert min(distances) > 1
    if (kind, scale) not in UNEVEN:
        assert distances == sorted(distances)
        assert distances[-1] > distances[0]


@pytest.mark.parametrize("kind", DRAWING)
@pytest.mark.parametrize("scale", ShiftScale)
def test_what_is_drawn_differs_between_images_and_seeds_and_comes_from_the_generator_alone(kind, scale):
    same = np.repeat(photographs(32)[1:2], 4, axis=0)
    shifted = shift(same, kind, 3, scale, rng())
    assert len(np.unique(shifted.reshape(4, -1), axis=0)) == 4
    assert (shift(same, kind, 3, scale, rng(1)) != shifted).any(axis=(1, 2, 3)).all()
    np.random.seed(1)  # noqa: NPY002 - must not matter
    np.testing.assert_array_equal(shift(same, kind, 3, scale, rng()), shifted)


@pytest.mark.parametrize("kind", [kind for kind in ShiftKind if kind not in DRAWING])
def test_the_others_draw_nothing(kind):
    generator = rng()
    shift(IMAGES, kind, 3, "imagenet_c", generator)
    assert generator.bit_generator.state == rng().bit_generator.state


@pytest.mark.parametrize("kind", ShiftKind)
@pytest.mark.parametrize("scale", ShiftScale)
def test_an_image_does_not_depend_on_those_after_it(kind, scale):
    alone = shift(IMAGES[:1], kind, 4, scale, rng())
    np.testing.assert_array_equal(shift(IMAGES, kind, 4, scale, rng())[:1], alone)


@pytest.mark.parametrize("kind", ShiftKind)
@pytest.mark.parametrize("scale", ShiftScale)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (33, 5)])
def test_any_size_will_do(kind, scale, size):
    images = np.random.default_rng(0).integers(0, 256, size=(2, 3, *size), dtype=np.uint8)
    assert shift(images, kind, 5, scale, rng()).shape == images.shape  # warnings are errors


@pytest.mark.parametrize("kind", ShiftKind)
def test_the_size_of_the_chunks_changes_nothing(kind, monkeypatch):
    whole = shift(IMAGES, kind, 2, "imagenet_c", rng())
    monkeypatch.setattr(shifts, "_CHUNK_VALUES", 1)
    np.testing.assert_array_equal(whole, shift(IMAGES, kind, 2, "imagenet_c", rng()))


@pytest.mark.parametrize("kind", ShiftKind)
def test_images_stay_as_they_were_and_an_empty_set_is_no_error(kind):
    before = IMAGES.copy()
    shifted = shift(IMAGES, kind, 5, "cifar_c", rng())
    np.testing.assert_array_equal(IMAGES, before)
    assert shifted.dtype == np.uint8
    assert shifted.shape == IMAGES.shape
    assert shift(IMAGES[:0], kind, 5, "cifar_c", rng()).shape == (0, 3, 20, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "frost"},
            "unknown ShiftKind 'frost'; choose one of gaussian_noise, shot_noise, .*, jpeg_comp",
        ),
        ({"scale": "mnist_c"}, "unknown ShiftScale 'mnist_c'; choose one of imagenet_c, cifar_c"),
        ({"severity": 0}, "unknown severity 0; choose one of 1, 2, 3, 4, 5"),
        ({"kind": "spatter"}, "unknown ShiftKind 'spatter'"),
        ({"severity": 6}, "unknown severity 6"),
        ({"severity": 1.5}, "unknown severity 1.5"),
        ({"images": IMAGES / 255}, r"images must be a uint8 array \(N, 3, H, W\), got float64"),
        ({"images": IMAGES[:, :1]}, r"images must be .* got uint8 \(4, 1, 20, 24\)"),
    ],
)
def test_refuses(change, message):
    good = {"images": IMAGES, "kind": "contrast", "severity": 1, "scale": "cifar_c", "rng": rng()}
    with pytest.raises(ValueError, match=message):
        shift(**good | change)
