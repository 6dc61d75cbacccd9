"""Every kind of image, as a person sees it."""

import io

import numpy as np
import pytest
from image_files import png, scene
from PIL import Image

from benchmark.evaluation.pictures.decoding import (
    BITS12,
    BLENDED,
    FRAMES,
    GREY,
    GREY16,
    OBLONG,
    TURNED,
    Broken,
    decode,
    quiet,
    upright,
)


def written(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of(image, kind="PNG", **options):
    return decode(written(image, kind, **options))


def test_colour_comes_as_it_is():
    found = of(scene(1))
    assert found.kinds == ("colour",)
    assert found.image.tobytes() == scene(1).tobytes()


@pytest.mark.parametrize(("mode", "kind"), [("L", GREY), ("1", "1-bit"), ("P", "palette")])
def test_grey_1_bit_and_palette(mode, kind):
    image = scene(1).convert(mode)
    found = of(image)
    assert found.kinds == (kind,)
    assert found.image.mode == "RGB"
    assert found.image.tobytes() == image.convert("RGB").tobytes()


def test_cmyk_is_not_inverted():
    red = of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert red.kinds == ("CMYK",)
    r, g, b = red.image.getpixel((4, 4))
    assert r > 240
    assert max(g, b) < 15


def test_16_bit_grey_is_scaled_and_not_clipped():
    values = np.array([[0, 257, 32768, 65535]] * 4, dtype=np.uint16)
    found = of(Image.fromarray(values))
    assert found.kinds == (GREY16,)
    assert [found.image.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_12_bits_in_16_are_said():
    values = np.full((4, 4), 4095, dtype=np.uint16)
    found = of(Image.fromarray(values))
    assert found.kinds == (BITS12,)
    assert found.image.getpixel((0, 0)) == (16, 16, 16)  # 4095 / 257 = 15.9


def test_16_bit_tiff_of_either_byte_order():
    values = (np.arange(16, dtype=np.uint16) * 4369).reshape(4, 4)
    for order in ("<u2", ">u2"):
        found = of(Image.fromarray(values.astype(order)), "TIFF")
        np.testing.assert_array_equal(np.asarray(found.image)[..., 0], np.arange(16).reshape(4, 4) * 17)


def test_floats_in_the_unit_interval_only():
    assert (
        of(Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)), "TIFF").image.getpixel((0, 0))[0] == 128
    )
    for wrong in (2.0, -1.0, np.nan):
        with pytest.raises(Broken, match="float pixels"):
            of(Image.fromarray(np.full((4, 4), wrong, dtype=np.float32)), "TIFF")


def test_32_bit_integers_have_no_known_range():
    with pytest.raises(Broken, match="integer pixels of 70,000 to 70,000"):
        of(Image.fromarray(np.full((4, 4), 70_000, dtype=np.int32)), "TIFF")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_turns_images_upright(orientation, kind):
    """The stored image is turned so that EXIF's turn gives the picture back: red is at the top left."""
    upside = Image.new("RGB", (32, 16), "blue")
    upside.paste((255, 0, 0), (0, 0, 8, 8))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upside if undo is None else upside.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = of(stored, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
    assert found.image.size == (32, 16)
    assert found.image.getpixel((2, 2))[0] > 200 > 50 > found.image.getpixel((30, 14))[0]
    if kind != "TIFF":  # Pillow turns these itself
        assert (TURNED in found.kinds) == (orientation != 1)
    assert OBLONG in found.kinds


def test_transparency_is_seen_on_white():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 4, 8))
    image.paste((0, 0, 0, 128), (7, 7, 8, 8))
    found = of(image)
    assert found.kinds == ("colour", BLENDED)
    assert found.image.getpixel((0, 0)) == (0, 0, 255)
    assert found.image.getpixel((5, 0)) == (255, 255, 255)  # not the red below it
    assert found.image.getpixel((7, 7)) == (127, 127, 127)


def test_opaque_alpha_changes_nothing():
    image = scene(1).copy()
    image.putalpha(255)
    found = of(image)
    assert found.kinds == ("colour",)
    assert found.image.tobytes() == scene(1).tobytes()


@pytest.mark.parametrize("mode", ["LA", "P", "L", "RGB"])
def test_transparency_of_other_kinds(mode):
    if mode == "LA":
        data = written(Image.new("LA", (4, 4), (0, 0)))
    else:
        clear = {"P": 0, "L": 0, "RGB": (0, 0, 0)}[mode]
        data = written(Image.new(mode, (4, 4)), transparency=clear)
    found = decode(data)
    assert BLENDED in found.kinds
    assert found.image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = of(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert FRAMES in found.kinds
    assert found.image.getpixel((0, 0)) == (255, 0, 0)


def test_broken_files_say_why(tmp_path):
    whole = written(scene(1, (200, 200)), "JPEG")
    cases = {
        b"": "is empty",
        whole[: len(whole) // 2]: "truncated",
        b"<html>no image</html>": "no image of a format that is read",
        png(scene(1))[:60]: ".",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n": "no image of a format",
    }
    for data, reason in cases.items():
        with pytest.raises(Broken, match=reason):
            decode(data)
        path = tmp_path / "a.png"
        path.write_bytes(data)
        with pytest.raises(Broken, match=reason):
            decode(path)
    with pytest.raises(Broken, match="No such file"):
        decode(tmp_path / "nowhere.png")
    with pytest.raises(Broken, match=r"no file|Is a directory"):
        decode(tmp_path)


@pytest.mark.parametrize("pixels", [1_500, 3_000])
def test_a_decompression_bomb_is_broken(monkeypatch, pixels):
    """Pillow warns of the first and refuses the second itself."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    quiet()
    with pytest.raises(Broken, match="bomb"):
        of(Image.new("L", (pixels // 10, 10)))


def test_any_bytes_are_broken_or_a_picture():
    """Cut and changed files, thousands of them: nothing but `Broken` comes out."""
    rng = np.random.default_rng(0)
    quiet()
    files = [
        written(scene(1), "JPEG"),
        png(scene(1).convert("P")),
        written(scene(1), "GIF"),
        written(scene(1), "TIFF"),
        written(scene(1), "WEBP"),
        written(scene(1), "BMP"),
    ]
    seen = {True: 0, False: 0}
    for data in files:
        for _ in range(60):
            changed = bytearray(data[: rng.integers(1, len(data) + 1)])
            for place in rng.integers(0, len(changed), size=3):
                changed[place] = rng.integers(256)
            try:
                decode(bytes(changed))
                seen[True] += 1
            except Broken:
                seen[False] += 1
    assert seen[False] > 50


def test_a_picture_in_memory_is_treated_alike():
    assert upright(Image.new("LA", (4, 4), (0, 0))).image.getpixel((0, 0)) == (255, 255, 255)
