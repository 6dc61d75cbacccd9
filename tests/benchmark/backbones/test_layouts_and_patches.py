"""Networks whose maps end in channels, and image sizes that patches do not divide (cases L21, L22)."""

import pytest
import torch

from benchmark.backbones.create import create_network
from benchmark.backbones.extract import Tap
from benchmark.errors import DataError
from methods.features import Features
from methods.registry import detector

CLASSES = 5


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    return create_network("swin_tiny_patch4_window7_224", CLASSES, 64)  # maps of 2 × 2 positions


@torch.no_grad()
def test_l21_rankfeat_applies_to_maps_that_end_in_channels(swin):
    """Against torch's own SVD of each map, with the component taken off before the model's own pooling."""
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    tap = Tap(swin, images)
    assert tap.why_no_rank_one == ""
    found = tap(images, "rank_one")
    last = swin.model.forward_features(swin.normalised(images))  # (N, H, W, C)
    assert last.shape[1:3] == (2, 2)
    u, s, v = torch.linalg.svd(last.flatten(1, 2).double(), full_matrices=False)
    rest = last - (s[:, :1, None] * u[:, :, :1] @ v[:, :1]).reshape(last.shape).float()
    logits = swin.model.forward_head(rest)
    assert not torch.allclose(logits, found.logits, rtol=1e-2)
    train = Features(**{name: parts[0] for name, parts in found.collected().items() if name != "stages"})
    scores = detector("rankfeat").fit(train, train, tap.head).score(train)
    torch.testing.assert_close(scores, torch.logsumexp(logits.double(), dim=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "size", "patch", "fits"),
    [
        ("vit_tiny_patch16_224", 40, 16, "32 or 48"),
        ("vit_tiny_patch16_224", 8, 16, "16"),
        ("swin_tiny_patch4_window7_224", 62, 4, "60 or 64"),
        ("convnext_atto", 42, 4, "40 or 44"),
    ],
)
def test_l22_a_size_that_patches_do_not_divide_is_refused(architecture, size, patch, fits):
    expected = (
        f"{architecture} at {size}×{size} pixels: images are cut into patches of {patch}×{patch} pixels, of "
        f"which {size} is no multiple: .*set image_size to {fits}$"
    )
    with pytest.raises(DataError, match=expected):
        create_network(architecture, CLASSES, size)


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("test_vit", 48),  # three patches a side
        ("crossvit_tiny_240", 240),  # scales images itself, to what each of its patch sizes divides
        ("test_resnet", 41),  # convolutions with a rim
    ],
)
@torch.inference_mode()
def test_l22_other_sizes_and_networks_are_taken(architecture, size):
    network = create_network(architecture, CLASSES, size)
    assert network(torch.rand(2, 3, size, size)).shape == (2, CLASSES)
    assert not any(module._forward_pre_hooks for module in network.modules())
