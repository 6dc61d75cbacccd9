"""Views of images: what each draws, and its bounds."""

import pytest
import torch
from network_objective_examples import SIZE, images
from torch.nn import functional
from torch.testing import assert_close
from worked_examples import tensor

from methods.objectives import _augment


def pictures(n=40, size=16):
    """Smooth colour images, all different."""
    small = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(9))
    return functional.interpolate(small, (size, size), mode="bilinear")


VIEWS = {
    "contrastive_view": _augment.contrastive_view,
    "weak_view": _augment.weak_view,
    "resized_crop": _augment.resized_crop,
    "colour_jitter": _augment.colour_jitter,
    "gray": _augment.gray,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_an_image_drawn_from_the_generator(view):
    x = pictures()
    before = x.clone()
    found = view(x, torch.Generator().manual_seed(1))
    assert torch.equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert found.min() >= 0
    assert found.max() <= 1
    torch.manual_seed(7)  # the global generator has no say
    assert torch.equal(view(x, torch.Generator().manual_seed(1)), found)
    assert not torch.equal(view(x, torch.Generator().manual_seed(2)), found)
    assert view(x.double(), torch.Generator().manual_seed(1)).dtype == torch.float64


def test_a_weak_view_of_no_image_is_none():
    assert _augment.weak_view(images(0), torch.Generator()).shape == (0, 3, SIZE, SIZE)


def test_a_shift_takes_pixels_from_where_it_says():
    x = torch.arange(9 * 7.0).reshape(1, 1, 9, 7).expand(30, 3, 9, 7)
    for flip in (False, True):
        found = _augment.shift(x, torch.Generator().manual_seed(0), 2, flip)
        padded = functional.pad(x[:1], (2, 2, 2, 2), mode="reflect")
        crops = [padded[0, :, i : i + 9, j : j + 7] for i in range(5) for j in range(5)]
        crops += [crop.flip(2) for crop in crops] if flip else []
        which = [[torch.equal(image, crop) for crop in crops] for image in found]
        assert all(any(row) for row in which)
        assert len({row.index(True) for row in which}) > 10


def test_a_box_is_a_fifth_to_all_of_the_image_and_inside():
    """Of an image that holds its own coordinates the crop's corners are the box's."""
    ramp = ((torch.arange(64) + 0.5) / 64).expand(64, 64)
    x = torch.stack([ramp, ramp.T, ramp]).expand(300, 3, 64, 64)
    found = _augment.resized_crop(x, torch.Generator().manual_seed(0)).double()
    width = (found[:, 0, 32, -1] - found[:, 0, 32, 0]) * 64 / 63
    height = (found[:, 1, -1, 32] - found[:, 1, 0, 32]) * 64 / 63
    inner = width.abs() < 0.95  # the border's pixels are clamped in a box that reaches it
    area, aspect = (width.abs() * height)[inner], (width.abs() / height)[inner]
    assert 0.19 < area.min() < 0.25
    assert area.max() <= 1
    assert 0.74 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.35
    assert 0.4 < (width < 0).double().mean() < 0.6  # mirrored
    assert height.min() > 0
    unmirrored = _augment.resized_crop(x, torch.Generator().manual_seed(0), flip=False)
    assert (unmirrored[:, 0, 32, -1] > unmirrored[:, 0, 32, 0]).all()
    whole = _augment.resized_crop(x, torch.Generator(), area=(1, 1), ratio=(1, 1), flip=False)
    assert_close(whole, x.contiguous(), rtol=0, atol=1e-5)


def test_a_fifth_of_the_views_is_gray_and_a_fifth_keeps_its_colours():
    x = pictures(600, 4)
    found = _augment.gray(x, torch.Generator().manual_seed(0))
    grays = (found == found[:, :1]).flatten(1).all(dim=1)
    assert 0.15 < grays.double().mean() < 0.25  # ± 3 standard errors of 0.016
    assert torch.equal(found[~grays], x[~grays])
    luma = (x[grays] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)
    assert_close(found[grays][:, 0], luma)
    jittered = _augment.colour_jitter(x, torch.Generator().manual_seed(0))
    kept = (jittered == x).flatten(1).all(dim=1)
    assert 0.15 < kept.double().mean() < 0.25


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_each_strength_bounds_its_own_change(what):
    """Away from 0 and 1 the change is linear: about black, the mean luma, or the luma of each pixel."""
    x = 0.4 + 0.2 * pictures(200, 4).double()
    nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "probability": 1.0}
    found = _augment.colour_jitter(x, torch.Generator().manual_seed(0), **{**nothing, what: 0.4})
    luma = (x * tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    about = {"brightness": torch.zeros_like(luma), "contrast": luma.mean(dim=(2, 3), keepdim=True)}
    about = about.get(what, luma)
    factors = ((found - about) * (x - about)).sum(dim=(1, 2, 3)) / (x - about).square().sum(dim=(1, 2, 3))
    assert_close(about + factors[:, None, None, None] * (x - about), found)
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4


def test_a_hue_turns_about_the_gray_axis():
    x = 0.4 + 0.2 * pictures(200, 4).double()
    gray_image = x[:, :1].expand_as(x)
    nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "probability": 1.0}
    found = _augment.colour_jitter(x, torch.Generator().manual_seed(0), hue=0.1, **nothing)
    weights = tensor([0.299, 0.587, 0.114])[:, None, None]
    assert_close((found * weights).sum(dim=1), (x * weights).sum(dim=1))  # the luma stays
    assert (found - x).abs().flatten(1).amax(dim=1).median() > 0.005
    same = _augment.colour_jitter(gray_image, torch.Generator().manual_seed(0), hue=0.1, **nothing)
    assert_close(same, gray_image.contiguous(), rtol=0, atol=1e-6)
    still = _augment.colour_jitter(x, torch.Generator().manual_seed(0), hue=0.0, **nothing)
    assert_close(still, x, rtol=0, atol=1e-6)
