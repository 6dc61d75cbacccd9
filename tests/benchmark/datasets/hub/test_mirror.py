"""The mirror: where files are, what of them is read, and how each kind of damage is told."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_files import encode, images_column, noise, write_raw, write_split
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import ROOT

from benchmark.datasets import mirror_folder
from benchmark.datasets.mirror import Columns, MirrorFile, file_digest, split_path
from benchmark.datasets.pixels import choose_rows, decode_images
from benchmark.errors import DataError

BOTH = Columns("image", "label")
IMAGE = Columns("image", None)


# Where files are


def test_the_variable_names_the_mirror_and_is_read_each_time(monkeypatch):
    for name in ("/one", "/two"):
        monkeypatch.setenv("OODBENCH_MIRROR", name)
        assert mirror_folder() == Path(name)
    monkeypatch.delenv("OODBENCH_MIRROR")
    assert mirror_folder().parts[-2:] == ("oodbench", "mirror")


def test_layout_of_the_mirror(monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", "/m")
    assert split_path("uoft-cs/cifar10", None, "test") == Path("/m/uoft-cs/cifar10/test.parquet")
    assert split_path("a/svhn", "digits", "test") == Path("/m/a/svhn/digits/test.parquet")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("../up/x", None, "test"), "repository '../up/x'"),
        (("a/../../b", None, "test"), "repository"),
        (("/etc", None, "test"), "repository '/etc'"),
        (("a/b", "..", "test"), "config '..'"),
        (("a/b", None, "../../test"), "split '../../test'"),
        (("a/b", None, "test\n"), "split"),
        (("a/b", None, ""), "split ''"),
    ],
)
def test_no_name_leads_out_of_the_mirror(names, what):
    with pytest.raises(DataError, match="cannot be a path") as caught:
        split_path(*names)
    assert str(caught.value).startswith(what)


def test_importing_the_datasets_loads_no_library_of_files(tmp_path):
    script = (
        "import sys, benchmark.datasets, benchmark.datasets.download\n"
        "print(sorted({'pyarrow', 'PIL', 'datasets', 'huggingface_hub', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_digest_follows_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert file_digest(path).startswith("88d4266fd4e6338d")
    path.write_bytes(b"dcba")  # of the same size: the time tells
    os.utime(path, ns=(0, 0))
    assert not file_digest(path).startswith("88d4266fd4e6338d")


# Reading


def test_rows_labels_and_names_as_written(tmp_path):
    encoded = [encode(noise(seed=i)) for i in range(7)]
    path = write_split(tmp_path / "test.parquet", encoded, [0, 1, 2, 0, 1, 2, 0])
    file = MirrorFile(path, BOTH)
    assert (file.rows, file.class_names) == (7, ("ant", "bee", "cat"))
    assert file.labels().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert file.labels().dtype == np.int64
    assert list(file.images()) == list(enumerate(encoded))


def test_chosen_rows_over_several_groups(tmp_path):
    encoded = [b"%d" % i for i in range(950)]
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"image": images_column(encoded)}), path, row_group_size=130)
    file = MirrorFile(path, IMAGE)
    for rows in ([0], [949], [129, 130, 131], [3, 99, 100, 101, 259, 260, 500, 949], list(range(950))):
        assert list(file.images(np.array(rows))) == [(row, encoded[row]) for row in rows]
    assert [row for row, _ in file.images()] == list(range(950))


def test_groups_without_a_chosen_row_are_not_read(tmp_path):
    """A damaged group harms only those who want it."""
    encoded = [bytes([i]) * 5000 for i in range(8)]
    path = tmp_path / "test.parquet"
    options = {"row_group_size": 2, "compression": "none", "use_dictionary": False}
    pq.write_table(pa.table({"image": images_column(encoded)}), path, write_page_checksum=True, **options)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(bytes([1]) * 100) + 50] ^= 255
    path.write_bytes(damaged)
    file = MirrorFile(path, IMAGE)
    assert [row for row, _ in file.images(np.array([4, 7]))] == [4, 7]
    with pytest.raises(DataError, match="cannot be read"):
        list(file.images(np.array([0, 7])))


def test_images_may_be_plain_bytes(tmp_path):
    for kind in (pa.binary(), pa.large_binary()):
        path = write_raw(tmp_path / "test.parquet", image=pa.array([b"x", b"yy"], type=kind))
        assert list(MirrorFile(path, IMAGE).images()) == [(0, b"x"), (1, b"yy")]


@pytest.mark.parametrize("metadata", [{}, {b"huggingface": b"{"}, {b"huggingface": b"[1]"}])
def test_a_file_of_another_program_has_no_class_names(tmp_path, metadata):
    table = pa.table({"image": images_column([b"x"]), "label": [0]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "test.parquet")
    assert MirrorFile(tmp_path / "test.parquet", BOTH).class_names == ()


# Damage


def good(path):
    encoded = [encode(noise(20, 20, seed=i)) for i in range(40)]
    return write_split(path, encoded, [i % 3 for i in range(40)])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.parquet is not there"):
        MirrorFile(tmp_path / "nowhere.parquet", BOTH)
    with pytest.raises(DataError, match="is not there"):
        file_digest(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"not Parquet at all" * 100, b"PAR1" + bytes(500) + b"PAR1"]
)
def test_a_file_that_is_no_parquet(tmp_path, content):
    path = tmp_path / "test.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test\.parquet cannot be read: .*delete it and get it again"):
        MirrorFile(path, BOTH)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short(tmp_path, share):
    path = good(tmp_path / "test.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match="was cut short"):
        MirrorFile(path, BOTH)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "test.parquet").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        MirrorFile(tmp_path / "test.parquet", BOTH)


def test_whatever_byte_is_damaged_only_a_data_error_comes(tmp_path):
    """Nothing that PyArrow raises gets out; damage inside an image is the decoder's to tell."""
    path = good(tmp_path / "test.parquet")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(150):
        damaged = bytearray(whole)
        # The footer is left alone: a size in it may ask for more memory than there is.
        footer = struct.unpack("<I", whole[-8:-4])[0] + 8
        for place in rng.integers(4, len(whole) - footer, size=20):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            file = MirrorFile(path, BOTH)
            file.labels()
            decode_images([data for _, data in file.images()], 8)
        except DataError:
            told += 1
    assert told > 100


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    path = write_split(tmp_path / "test.parquet", [encode(noise())], [0], image="img", label="fine_label")
    with pytest.raises(DataError, match=r"no column 'image' for the images; it has img \(struct.*fine_label"):
        MirrorFile(path, BOTH)
    with pytest.raises(DataError, match="no column 'label' for the labels"):
        MirrorFile(path, Columns("img", "label"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (pa.array([1]), r"column 'image' is int64, expected struct<bytes: binary, path: string> or binary"),
        (pa.array(["a"]), "column 'image' is string"),
        (pa.array([{"path": "a.png"}]), "column 'image' is struct<path: string>"),
        (pa.array([{"bytes": "text"}]), "column 'image' is struct<bytes: string>"),
    ],
)
def test_images_of_another_type(tmp_path, image, message):
    path = write_raw(tmp_path / "test.parquet", image=image, label=pa.array([0]))
    with pytest.raises(DataError, match=message):
        MirrorFile(path, BOTH)


@pytest.mark.parametrize("label", [pa.array(["ant"]), pa.array([0.5]), pa.array([True])])
def test_labels_of_another_type(tmp_path, label):
    path = write_raw(tmp_path / "test.parquet", image=images_column([b"x"]), label=label)
    with pytest.raises(DataError, match=f"column 'label' is {label.type}, expected integers"):
        MirrorFile(path, BOTH)


def test_a_split_without_rows(tmp_path):
    path = write_raw(tmp_path / "test.parquet", image=images_column([]))
    with pytest.raises(DataError, match="has no rows, expected images"):
        MirrorFile(path, IMAGE)


def test_rows_without_label_or_image(tmp_path):
    column = pa.array([{"bytes": b"x", "path": None}, None, {"bytes": None, "path": "a.png"}])
    path = write_raw(tmp_path / "test.parquet", image=column, label=pa.array([0, 1, None]))
    file = MirrorFile(path, BOTH)
    with pytest.raises(DataError, match="row 2 has no label in column 'label'"):
        file.labels()
    for row in (1, 2):
        with pytest.raises(DataError, match=f"row {row} has no bytes in column 'image'; .*not followed"):
            list(file.images(np.array([0, row])))


# Pixels


@pytest.mark.parametrize(
    ("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})]
)
def test_an_image_of_the_right_size_keeps_its_pixels(form, options):
    pixels = noise(16, 16)
    decoded = decode_images([encode(pixels, form, **options)], 16)
    assert decoded.shape == (1, 3, 16, 16)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded[0], pixels.transpose(2, 0, 1))


def test_a_jpeg_is_decoded_as_pillow_does():
    data = encode(noise(16, 16), "JPEG", quality=90)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_images([data], 16)[0], expected.transpose(2, 0, 1))


def test_grey_is_repeated_and_transparency_dropped():
    grey, clear = noise(8, 8, 1), noise(8, 8, 4)
    first, second = decode_images([encode(grey), encode(clear)], 8)
    np.testing.assert_array_equal(first, np.stack([grey] * 3))
    np.testing.assert_array_equal(second, clear[..., :3].transpose(2, 0, 1))


def test_16_bit_grey_keeps_its_upper_bits():
    deep = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    np.testing.assert_array_equal(decode_images([encode(deep)], 8)[0, 0], deep >> 8)


def test_palettes_and_cmyk():
    pixels = noise(8, 8)
    for mode, form in (("P", "PNG"), ("P", "GIF"), ("CMYK", "TIFF"), ("1", "PNG")):
        file = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(file, form)
        expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(decode_images([file.getvalue()], 8)[0], expected)


def torchvision_fit(pixels, size, shorter):
    """Resize and CenterCrop of the library that OpenOOD uses."""
    transforms = pytest.importorskip("torchvision.transforms")
    bilinear = transforms.InterpolationMode.BILINEAR
    steps = [transforms.Resize(shorter, bilinear), transforms.CenterCrop(size)]
    return np.asarray(transforms.Compose(steps)(Image.fromarray(pixels))).transpose(2, 0, 1)


@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (33, 33), (16, 90), (20, 21), (57, 20), (16, 16)])
@pytest.mark.parametrize(("size", "crop"), [(16, 1.0), (16, 0.875), (17, 0.9), (24, 0.5)])
def test_resizing_and_cropping_are_torchvisions(shape, size, crop):
    pixels = noise(*shape)
    expected = torchvision_fit(pixels, size, round(size / crop))
    np.testing.assert_array_equal(decode_images([encode(pixels)], size, crop=crop)[0], expected)


def test_reducing_averages():
    """Nearest or unfiltered bilinear reduction would keep the extremes of a fine chequerboard."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    inner = decode_images([encode(board)], 8)[0, 0, 1:-1, 1:-1].astype(int)
    assert abs(inner - 127).max() <= 2


def test_an_exif_orientation_is_not_applied():
    pixels = noise(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    np.testing.assert_array_equal(decode_images([encode(pixels, exif=exif)], 8)[0], pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        encode(noise(40, 40))[:200],
        encode(noise(40, 40), "JPEG")[:400],
        encode(noise(40, 40), "WEBP")[:100],
        encode(noise())[:40] + bytes(20) + encode(noise())[60:],
    ],
)
def test_an_image_that_does_not_decode_is_named(data):
    with pytest.raises(DataError, match=r"^row 7 cannot be decoded: "):
        decode_images([encode(noise()), data], 8, names=["row 6", "row 7"])


def test_a_format_that_starts_another_program_is_not_tried():
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(io.BytesIO(page)).format == "EPS"  # Pillow itself would
    with pytest.raises(DataError, match="UnidentifiedImageError"):
        decode_images([page], 8)


def bomb(side):
    """A PNG that says it is `side` pixels wide and high, and holds next to nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the first, and refuses the second
def test_a_decompression_bomb_is_refused(side):
    with pytest.raises(DataError, match="image 0 cannot be decoded: DecompressionBomb"):
        decode_images([bomb(side)], 8)


def test_warnings_of_odd_metadata_are_not_passed_on():
    palette = Image.fromarray(noise(8, 8)).convert("P")
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_images([file.getvalue()], 8).shape == (1, 3, 8, 8)


# Subsets


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.data(),
    st.integers(0, 3),
)
def test_subsets_are_balanced_nested_and_in_order(labels, data, seed):
    labels = np.array(labels, dtype=np.int64)
    n = data.draw(st.integers(1, len(labels)))
    chosen = choose_rows(labels, n, "name", "test", seed)
    assert len(chosen) == n
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < len(labels)
    sizes, taken = np.bincount(labels, minlength=5), np.bincount(labels[chosen], minlength=5)
    fullest = taken.max()
    assert ((taken >= fullest - 1) | (taken == sizes)).all()  # a class is behind only if it has no more
    fewer = choose_rows(labels, max(1, n // 2), "name", "test", seed)
    assert set(fewer.tolist()) <= set(chosen.tolist())


def test_subsets_differ_by_seed_name_and_split():
    labels = np.zeros(1000, dtype=np.int64)
    ways = [("a", "test", 0), ("a", "test", 1), ("b", "test", 0), ("a", "train", 0)]
    chosen = {tuple(choose_rows(labels, 20, *way).tolist()) for way in ways}
    assert len(chosen) == 4
    np.testing.assert_array_equal(
        choose_rows(labels, 20, "a", "test", 0), choose_rows(labels, 20, "a", "test", 0)
    )


def test_a_subset_never_changes():
    """Records are compared on the same images, also with those of older versions."""
    labels = np.arange(100, dtype=np.int64) % 10
    assert choose_rows(labels, 12, "cifar10", "test", 0).tolist() == [
        0,
        15,
        16,
        32,
        33,
        37,
        39,
        64,
        69,
        71,
        77,
        98,
    ]
