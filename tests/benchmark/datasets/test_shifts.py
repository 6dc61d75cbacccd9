"""Covariate shifts against the published constants and worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from benchmark.datasets import SEVERITIES, ShiftKind, ShiftScale, shift, shifts

# Hendrycks & Dietterich, ICLR 2019, as in the suite's specification §3.10: severities 1 to 5.
SIGMAS = {"imagenet_c": (0.08, 0.12, 0.18, 0.26, 0.38), "cifar_c": (0.04, 0.06, 0.08, 0.09, 0.10)}
CONTRASTS = {"imagenet_c": (0.4, 0.3, 0.2, 0.1, 0.05), "cifar_c": (0.75, 0.5, 0.4, 0.3, 0.15)}
DISKS = {
    "imagenet_c": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "cifar_c": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
}
EVERY = [(scale, severity) for scale in SIGMAS for severity in SEVERITIES]
IMAGES = np.random.default_rng(0).integers(0, 256, size=(4, 3, 20, 24), dtype=np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_contrast_worked_example():
    # Specification §3.10, a 1×2×3 image of channels last, c = 0.4.
    pixels = np.array([[[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]]]).transpose(2, 0, 1)
    expected = np.array([[[0.18, 0.38, 0.58], [0.42, 0.62, 0.82]]]).transpose(2, 0, 1)
    np.testing.assert_allclose(shifts.scale_contrast(pixels, 0.4), expected, rtol=1e-12)


def test_gaussian_noise_worked_example():
    # Specification §3.10, noise fixed, σ = 0.08.
    pixels = np.array([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])
    noise = np.array([[1.0, -1.0, 0.0], [0.0, 2.0, 1.0]])
    expected = [[0.08, 0.12, 0.4], [0.6, 0.96, 1.0]]
    np.testing.assert_allclose(shifts.add_noise(pixels, noise, 0.08), expected, rtol=1e-12)


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
    kernel = shifts.defocus_kernel(*DISKS[scale][severity - 1])
    expected = ndimage.convolve(IMAGES / 255, kernel[None, None], mode="mirror") * 255
    blurred = shift(IMAGES, "defocus_blur", severity, scale, rng())
    # The Fourier and the direct sums differ by rounding, so that a half may go either way.
    np.testing.assert_allclose(blurred, expected, rtol=0, atol=0.5 + 1e-9)


def test_defocus_kernel_of_radius_three_is_the_flat_disk_of_29_pixels():
    # x² + y² ≤ 9 has 29 integer solutions; a Gaussian of σ = 0.1 leaves e⁻⁵⁰ on its neighbours.
    kernel = shifts.defocus_kernel(3, 0.1)
    assert np.sort(kernel.ravel())[-30:] == pytest.approx([0.0] + [1 / 29] * 29, abs=1e-12)


def test_defocus_kernel_below_one_pixel_is_the_gaussian_alone():
    # exp(−1 / (2 · 0.4²)) = exp(−3.125) = 0.0439369; the centre has 1 / (1 + 2 · 0.0439369)² of the weight.
    kernel = shifts.defocus_kernel(0.3, 0.4)
    assert kernel.shape == (3, 3)
    assert kernel[1] == pytest.approx(np.array([0.0439369, 1.0, 0.0439369]) / 1.0878738**2, rel=1e-6)


@pytest.mark.parametrize(("radius", "alias"), [disk for disks in DISKS.values() for disk in disks])
def test_defocus_kernel_is_symmetric_and_sums_to_one(radius, alias):
    kernel = shifts.defocus_kernel(radius, alias)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-12)
    for mirrored in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        np.testing.assert_allclose(kernel, mirrored, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["contrast", "defocus_blur"])
@pytest.mark.parametrize("scale", ShiftScale)
def test_a_flat_image_keeps_its_level(kind, scale):
    flat = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None, None], (256, 3, 12, 12)).copy()
    np.testing.assert_array_equal(shift(flat, kind, 5, scale, rng()), flat)


@pytest.mark.parametrize("kind", ShiftKind)
@pytest.mark.parametrize("scale", ShiftScale)
def test_severities_take_images_farther_from_the_original(kind, scale):
    # A wave of 19 pixels: a disk erases it at radius 0.61 · 19 = 11.6 only, beyond the widest.
    wave = 128 + 60 * np.sin(np.arange(64) / 3) + np.zeros((64, 1))
    clean = np.broadcast_to(wave.astype(np.uint8), (8, 3, 64, 64))
    shifted = [shift(clean, kind, severity, scale, rng()).astype(float) for severity in SEVERITIES]
    distances = [np.abs(s - clean).mean() for s in shifted]
    if (kind, scale) == (ShiftKind.DEFOCUS_BLUR, ShiftScale.CIFAR_C):
        assert min(distances) > 0  # the third kernel is wider than the fourth, as published
    else:
        assert distances == sorted(distances)
        assert distances[0] > 0


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
        ({"kind": "fog"}, "unknown ShiftKind 'fog'; choose one of gaussian_noise, defocus_blur, contrast"),
        ({"scale": "mnist_c"}, "unknown ShiftScale 'mnist_c'; choose one of imagenet_c, cifar_c"),
        ({"severity": 0}, "unknown severity 0; choose one of 1, 2, 3, 4, 5"),
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
