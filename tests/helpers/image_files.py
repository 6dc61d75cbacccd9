"""Images of every kind, made with Pillow, and how a model may want them."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIDE = 16  # pixels, of what the pretended model takes


def pixels(image: Image.Image) -> torch.Tensor:
    """Resized pixels, as `Subject.prepare` makes them of a model whose normalisation is known."""
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return torch.from_numpy(small.transpose(2, 0, 1).copy())


def floats(image: Image.Image) -> torch.Tensor:
    return pixels(image).float() / 255 - 0.5


def scene(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """A picture of coarse and fine structure in colour, another for each seed."""
    rng = np.random.default_rng(seed)
    coarse, fine = (Image.fromarray(rng.integers(0, 256, size=(n, n, 3), dtype=np.uint8)) for n in (4, 16))
    both = (image.resize(size, Image.Resampling.BICUBIC) for image in (coarse, fine))
    return Image.blend(*both, 0.5)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def class_folders(root: Path, classes=("cat", "dog", "owl"), each=4, first=0) -> Path:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(each):
            scene(first + 100 * number + index).save(root / name / f"{index:03}.png")
    return root


def flat(root: Path, n=3, first=1000) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for index in range(n):
        scene(first + index).save(root / f"{index:03}.png")
    return root
