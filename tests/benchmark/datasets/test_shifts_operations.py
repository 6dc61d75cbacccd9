"""The operations of the corruptions against SciPy, Pillow, plain loops, and arithmetic on paper."""

from __future__ import annotations

import colorsys
import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from benchmark.datasets.corrupt import blur, digital, glass, noise, warp, weather

X = np.random.default_rng(0).random((3, 3, 20, 24))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Noise


@pytest.mark.parametrize("photons", [3, 60])
def test_shot_noise_counts_photons(photons):
    counts = noise.shot_noise(np.full((1, 3, 100, 100), 0.5), rng(), photons) * photons
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    # Mean and variance of a Poisson variable are its rate; the variance of the sample variance is
    # (rate + 2 · rate²) / n. Five standard deviations.
    rate, n = photons / 2, counts.size
    assert counts.mean() == pytest.approx(rate, abs=5 * math.sqrt(rate / n))
    assert counts.var() == pytest.approx(rate, abs=5 * math.sqrt((rate + 2 * rate**2) / n))


def test_shot_noise_leaves_black_alone():
    assert not noise.shot_noise(np.zeros((1, 3, 8, 8)), rng(), 3).any()


@pytest.mark.parametrize("amount", [0.03, 0.27])
def test_impulse_noise_is_salt_and_pepper_in_equal_parts(amount):
    noisy = noise.impulse_noise(np.full((4, 3, 100, 100), 0.4), rng(), amount)
    assert set(np.unique(noisy)) == {0.0, 0.4, 1.0}
    tolerance = 5 * math.sqrt(amount / 2 / noisy.size)
    assert (noisy == 0).mean() == pytest.approx(amount / 2, abs=tolerance)
    assert (noisy == 1).mean() == pytest.approx(amount / 2, abs=tolerance)
    hit = (noisy != 0.4).reshape(12, -1).astype(float)
    assert np.abs(np.corrcoef(hit) - np.eye(12)).max() < 0.05  # 5 / sqrt(10,000): each channel by itself


# Glass


def by_loops(height, width, offsets, reach, legacy):
    """Trade one after the other, as the text says it."""
    pixels = np.arange(height * width).reshape(height, width)
    for turn in offsets:
        for i, y in enumerate(range(height - reach, reach, -1)):
            for j, x in enumerate(range(width - reach, reach, -1)):
                right, down = turn[i, j]
                here, there = pixels[y, x], pixels[y + down, x + right]
                pixels[y, x] = there
                if not legacy:
                    pixels[y + down, x + right] = here
    return pixels.ravel()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("reach", [1, 2, 3, 4])
def test_trades_made_at_once_are_trades_one_after_the_other(reach, legacy):
    height, width, rounds = 17, 14, 3
    offsets = rng(reach).integers(-reach, reach, size=(4, rounds, height - 2 * reach, width - 2 * reach, 2))
    found = glass.shuffled(height, width, offsets, reach, legacy=legacy)
    for image, own in zip(found, offsets, strict=True):
        np.testing.assert_array_equal(image, by_loops(height, width, own, reach, legacy))


def test_true_trades_lose_no_pixel_and_legacy_ones_do():
    offsets = rng().integers(-2, 2, size=(2, 1, 12, 12, 2))
    everything = np.arange(256)
    for legacy, complete in ((False, True), (True, False)):
        found = np.sort(glass.shuffled(16, 16, offsets, 2, legacy=legacy), axis=1)
        assert (found == everything).all() == complete


def test_legacy_trade_worked_example():
    # Specification §3.10: a 2×2×2 array 0..7, "swapping" [0, 0] and [1, 1].
    values = np.arange(8).reshape(4, 2)
    glass.trade(values, np.array([0]), np.array([3]), legacy=True)
    assert values.reshape(2, 2, 2).tolist() == [[[6, 7], [2, 3]], [[4, 5], [6, 7]]]
    values = np.arange(8).reshape(4, 2)
    glass.trade(values, np.array([0]), np.array([3]))
    assert values.reshape(2, 2, 2).tolist() == [[[6, 7], [2, 3]], [[4, 5], [0, 1]]]


@pytest.mark.parametrize("legacy", [False, True])
def test_glass_blur_is_blur_trades_blur(legacy):
    sigma, reach, rounds = 0.9, 2, 2
    offsets = rng(3).integers(-reach, reach, size=(3, rounds, 16, 20, 2))
    expected = []
    for image, own in zip(X, offsets, strict=True):
        soft = np.stack([ndimage.gaussian_filter(channel, sigma, mode="nearest") for channel in image])
        soft = soft.reshape(3, -1)[:, by_loops(20, 24, own, reach, legacy)].reshape(image.shape)
        expected.append([ndimage.gaussian_filter(channel, sigma, mode="nearest") for channel in soft])
    found = glass.glass_blur(X, rng(3), sigma, reach, rounds, legacy=legacy)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_neighbours_are_drawn_from_minus_reach_to_reach_less_one(monkeypatch):
    seen = []

    def record(height, width, offsets, reach, *, legacy):
        seen.append(offsets)
        return np.tile(np.arange(height * width), (len(offsets), 1))

    monkeypatch.setattr(glass, "shuffled", record)
    glass.glass_blur(X, rng(), 0.5, 3, 1)
    assert set(np.unique(seen[0])) == {-3, -2, -1, 0, 1, 2}


# Motion


def line_kernel(degrees, radius, sigma):
    """Draw the line on a grid with the pixel in its middle."""
    reach = 2 * radius
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for i in range(2 * radius + 1):
        down = math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
        right = math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
        kernel[reach + down, reach + right] += math.exp(-(i**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def test_motion_blur_is_a_correlation_with_a_line():
    degrees = np.array([-44.0, 17.0, -123.0])
    found = blur.blur_along(X, degrees, 6, 2.5)
    for image, own, angle in zip(found, X, degrees, strict=True):
        kernel = line_kernel(angle, 6, 2.5)
        for channel, clean in zip(image, own, strict=True):
            np.testing.assert_allclose(channel, ndimage.correlate(clean, kernel, mode="nearest"), rtol=1e-12)


def test_motion_blur_to_the_right_by_hand():
    # Radius 1: weights 1, e^(-1/2), e^(-2) for σ = 1, over their sum 1.741866; the border is repeated.
    found = blur.blur_along(np.array([0.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 4), np.array([0.0]), 1, 1.0)
    assert found.ravel() == pytest.approx([0.6065307 / 1.741866, 1 / 1.741866, 0.0, 0.0], rel=1e-6)


@pytest.mark.parametrize("module", [blur, weather])
def test_angles_are_uniform(module, monkeypatch):
    seen = []

    def record(x, degrees, radius, sigma):
        seen.append((degrees, radius, sigma))
        return x

    monkeypatch.setattr(module, "blur_along", record)
    if module is blur:
        low = -45
        blur.motion_blur(np.zeros((2000, 3, 2, 2)), rng(), 6, 1.5)
    else:
        low = -135
        weather.snow(np.zeros((2000, 3, 2, 2)), rng(), 0.1, 0.3, 1, 0.5, 6, 1.5, 0.8)
    degrees, *settings = seen[0]
    assert settings == [6, 1.5]
    assert degrees.shape == (2000,)
    assert stats.kstest(degrees, "uniform", (low, 90)).pvalue > 0.01


# Zoom


def zoomed(plane, factor):
    """Crop the centre, zoom it by SciPy, trim it."""
    crops = [math.ceil(n / factor) for n in plane.shape]
    y, x = ((n - crop) // 2 for n, crop in zip(plane.shape, crops, strict=True))
    large = ndimage.zoom(plane[y : y + crops[0], x : x + crops[1]], factor, order=1)
    y, x = ((m - n) // 2 for m, n in zip(large.shape, plane.shape, strict=True))
    return large[y : y + plane.shape[0], x : x + plane.shape[1]]


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.07, 1.13, 1.25, 1.75, 2, 3, 4.5])
def test_clipped_zoom_is_scipys_zoom_of_the_centre(factor):
    for side in (32, 33):
        planes = rng().random((2, side, side + 5))
        expected = np.stack([zoomed(plane, factor) for plane in planes])
        np.testing.assert_allclose(warp.clipped_zoom(planes, factor), expected, atol=1e-12)


def test_zoom_blur_is_the_mean_of_the_image_and_its_zooms():
    expected = (X + sum(warp.clipped_zoom(X, 1 + 0.01 * i) for i in range(6))) / 7
    np.testing.assert_allclose(blur.zoom_blur(X, rng(), 1.06, 0.01), expected, rtol=1e-12)


def test_zoom_factors_stop_short_of_the_end():
    ends = (1.06, 1.11, 1.16, 1.21, 1.26)
    assert [len(blur.zoom_factors(end, 0.01)) for end in ends] == [6, 11, 16, 21, 26]
    # 1, 1.02 … 1.20; 1, 1.02 … 1.24; 1, 1.03 … 1.30.
    wide = [blur.zoom_factors(end, step) for end, step in ((1.21, 0.02), (1.26, 0.02), (1.31, 0.03))]
    assert [(len(factors), factors[0]) for factors in wide] == [(11, 1.0), (13, 1.0), (11, 1.0)]
    assert [factors[-1] for factors in wide] == pytest.approx([1.20, 1.24, 1.30])


# Weather


@pytest.mark.parametrize("zoom", [1, 1.75])
def test_snow_against_scipy(zoom):
    loc, scale, threshold, radius, sigma, mix = 0.3, 0.3, 0.6, 5, 3.0, 0.8
    found = weather.snow(X, rng(), loc, scale, zoom, threshold, radius, sigma, mix)
    drawn = rng().standard_normal((3, 20 * 24 + 1))
    for image, clean, numbers in zip(found, X, drawn, strict=True):
        layer = zoomed(loc + scale * numbers[:-1].reshape(20, 24), zoom)
        layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1)
        angle = -135 + 90 * stats.norm.cdf(numbers[-1])
        flakes = ndimage.correlate(layer, line_kernel(angle, radius, sigma), mode="nearest")
        grey = 0.299 * clean[0] + 0.587 * clean[1] + 0.114 * clean[2]
        white = np.maximum(clean, 1.5 * grey + 0.5)
        expected = mix * clean + (1 - mix) * white + flakes + np.rot90(flakes, 2)
        np.testing.assert_allclose(image, expected, atol=1e-12)


def test_no_flakes_above_the_noise_leave_the_whitening():
    # Grey of 0.2: max(0.2, 1.5 · 0.2 + 0.5) = 0.8; 0.7 · 0.2 + 0.3 · 0.8 = 0.38.
    snowy = weather.snow(np.full((1, 3, 8, 8), 0.2), rng(), 0, 0.1, 1, 99, 3, 1, 0.7)
    np.testing.assert_allclose(snowy, 0.38, rtol=1e-12)


def plasma_by_loops(uniform, levels, decay):
    """Diamond and square pixel by pixel, in place, on a torus."""
    side, step, reach = 2**levels, 2**levels, 1.0
    cloud, numbers = np.zeros((side, side)), iter(uniform)
    while step >= 2:
        half = step // 2
        for dy, dx in ((half, half), (0, half), (half, 0)):
            around = [(half, half), (half, -half), (-half, half), (-half, -half)]
            if (dy, dx) != (half, half):
                around = [(half, 0), (-half, 0), (0, half), (0, -half)]
            for y in range(dy, side, step):
                for x in range(dx, side, step):
                    near = [cloud[(y + v) % side, (x + u) % side] for v, u in around]
                    cloud[y, x] = sum(near) / 4 + reach * (2 * next(numbers) - 1)
        step, reach = half, reach / decay**2
    return (cloud - cloud.min()) / (cloud.max() - cloud.min())


@pytest.mark.parametrize("decay", [1.4, 3])
def test_plasma_is_diamond_and_square(decay):
    uniform = rng().random((3, 4**4 - 1))
    expected = [plasma_by_loops(numbers, 4, decay) for numbers in uniform]
    np.testing.assert_allclose(weather.plasma(uniform, decay), expected, atol=1e-12)


def test_plasma_of_two_pixels_by_hand():
    # Noise 1, 0, 0: the centre is 1, each edge (0 + 0 + 1 + 1) / 4 = 0.5, the corner 0.
    assert weather.plasma(np.array([[1.0, 0.5, 0.5]]), 2).tolist() == [[[0.0, 0.5], [0.5, 1.0]]]


def test_fog_keeps_the_brightest_value_as_its_bound():
    foggy = weather.fog(X, rng(), 1.5, 2)
    cloud = weather.plasma(rng().random((3, 4**5 - 1)), 2)[:, None, :20, :24]  # 24 pixels: 32
    brightest = X.max(axis=(1, 2, 3)).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(foggy, (X + 1.5 * cloud) * brightest / (brightest + 1.5), rtol=1e-12)
    assert not weather.fog(np.zeros((1, 3, 8, 8)), rng(), 1.5, 2).any()


def test_brightness_adds_to_the_value_of_hsv():
    x = X.copy()
    x[0, :, 0, :4] = np.array([[0, 0, 0], [1, 1, 1], [0.4, 0.4, 0.4], [0.9, 0, 0.3]]).T
    found = weather.brightness(x, rng(), 0.3)
    pixels = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    expected = [
        colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1))
        for hue, saturation, value in (colorsys.rgb_to_hsv(*pixel) for pixel in pixels)
    ]
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1).reshape(-1, 3), expected, atol=1e-12)


# Digital


@pytest.mark.parametrize("border", ["mirror", "reflect"])
def test_bilinear_is_scipys_map_coordinates(border):
    rows, columns = rng(1).uniform(-70, 90, (2, 3, 15, 11))
    rows[0, 0, :4], columns[0, 0, :4] = [0, 19, -0.5, 19.5], [0, 23, -0.5, 23.5]
    found = warp.bilinear(X, rows, columns, border)
    for n, c in np.ndindex(3, 3):
        expected = ndimage.map_coordinates(X[n, c], [rows[n], columns[n]], order=1, mode=border)
        np.testing.assert_allclose(found[n, c], expected, atol=1e-12)


def test_the_affine_map_takes_the_moved_points_from_their_corners():
    # 20×24: a third of 20 is 6; the centre is column 12, row 10. Corners (18, 16), (18, 4), (6, 4).
    moves = np.array([[[2, 1], [-3, 2], [1, -4]], [[0, 0], [0, 0], [0, 0]]])
    rows, columns = digital.affine_places(20, 24, moves)
    corners = [(18, 16), (18, 4), (6, 4)]
    for (u, y), (right, down) in zip(corners, moves[0], strict=True):
        assert rows[0, y + down, u + right] == pytest.approx(y, abs=1e-9)
        assert columns[0, y + down, u + right] == pytest.approx(u, abs=1e-9)
    np.testing.assert_allclose(rows[1], np.broadcast_to(np.arange(20)[:, None], (20, 24)), atol=1e-9)
    np.testing.assert_allclose(columns[1], np.broadcast_to(np.arange(24), (20, 24)), atol=1e-9)


@pytest.mark.parametrize("sigma", [0.96, 6.4, 170.8])
def test_smooth_is_scipys_gaussian_filter(sigma):
    fields = rng().random((2, 20, 25))
    expected = [ndimage.gaussian_filter(field, sigma, mode="reflect", truncate=3) for field in fields]
    np.testing.assert_allclose(digital.smooth(fields, sigma), expected, rtol=1e-9)


def test_elastic_transform_against_scipy():
    amplitude, sigma, amount = 3.2, 1.28, 1.6
    found = digital.elastic_transform(X, rng(), amplitude, sigma, amount)
    drawn = 2 * rng().random((3, 6 + 2 * 20 * 24)) - 1
    y, u = np.mgrid[:20, :24]
    corners = np.array([(18, 16), (18, 4), (6, 4)], dtype=float)
    for n, numbers in enumerate(drawn):
        moved = np.c_[corners + amount * numbers[:6].reshape(3, 2), np.ones(3)]
        back = np.linalg.inv(moved) @ corners  # rows of (column, row, 1) to (column, row)
        before = np.stack([u, y, np.ones_like(u)], axis=-1) @ back
        down, right = (
            amplitude * ndimage.gaussian_filter(part, sigma, mode="reflect", truncate=3)
            for part in numbers[6:].reshape(2, 20, 24)
        )
        for c in range(3):
            affine = ndimage.map_coordinates(
                X[n, c], [before[..., 1], before[..., 0]], order=1, mode="mirror"
            )
            expected = ndimage.map_coordinates(affine, [y + down, u + right], order=1, mode="reflect")
            np.testing.assert_allclose(found[n, c], expected, atol=1e-9)


def test_elastic_transform_without_amplitude_is_affine():
    found = digital.elastic_transform(X, rng(), 0, 0, 2.56)
    moves = 2.56 * (2 * rng().random((3, 6 + 2 * 20 * 24))[:, :6].reshape(3, 3, 2) - 1)
    np.testing.assert_array_equal(found, warp.bilinear(X, *digital.affine_places(20, 24, moves), "mirror"))


@pytest.mark.parametrize("share", [0.95, 0.9, 0.85, 0.75, 0.65, 0.6, 0.5, 0.4, 0.3, 0.25])
@pytest.mark.parametrize("size", [(32, 32), (21, 50)])
def test_pixelate_is_pillows_box_filter_twice(share, size):
    pixels = rng().integers(0, 256, size=(*size, 3), dtype=np.uint8)
    small = (int(size[1] * share), int(size[0] * share))
    image = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
    expected = np.asarray(image.resize(size[::-1], Image.Resampling.BOX), dtype=float)
    found = digital.pixelate(pixels.transpose(2, 0, 1)[None] / 255, rng(), share)[0].transpose(1, 2, 0) * 255
    # Pillow rounds after either axis: half a level each.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1 + 1e-9)


def test_pixelate_by_hand():
    # Five pixels in two boxes: centres 0.5, 1.5 and, at the edge 2.5 itself, 2.5 belong to the first.
    row = np.array([0.0, 0.3, 0.6, 0.5, 0.7]).reshape(1, 1, 1, 5)
    found = digital.pixelate(row, rng(), 0.5).ravel()
    assert found == pytest.approx([0.3, 0.3, 0.6, 0.6, 0.6])


@pytest.mark.parametrize("quality", [7, 80])
def test_jpeg_compression_is_pillows_round_trip(quality):
    pixels = rng().integers(0, 256, size=(2, 3, 20, 24), dtype=np.uint8)
    found = digital.jpeg_compression(pixels / 255, rng(), quality) * 255
    for image, clean in zip(found, pixels, strict=True):
        file = io.BytesIO()
        Image.fromarray(clean.transpose(1, 2, 0).copy()).save(file, format="JPEG", quality=quality)
        np.testing.assert_allclose(image.transpose(1, 2, 0), np.asarray(Image.open(file)), atol=1e-9)
