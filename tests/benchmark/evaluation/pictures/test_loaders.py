"""Images from Python: datasets, loaders, dicts, pictures, pixels and tensors as models take them."""

import numpy as np
import pytest
import torch
from image_files import flat, floats, pixels, scene
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.pictures.classes import ClassMap, numbered
from benchmark.evaluation.pictures.decoding import FRAMES, GREY, OBLONG
from benchmark.evaluation.pictures.loaders import AS_GIVEN, PIXELS
from benchmark.evaluation.pictures.sources import open_source


class Items(Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


class Stream(IterableDataset):
    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def opened(data, role="id_test", *, count=3, prepare=pixels):
    return open_source(data, title="a set", prepare=prepare, classes=numbered(count), role=role)


def read(source, size=4):
    batches = list(source.batches(size))
    labels = [batch.labels for batch in batches]
    images = torch.cat([batch.images for batch in batches])
    return images, None if labels[0] is None else torch.cat(labels).tolist(), batches


SCENES = [scene(index) for index in range(6)]
FLOATS = torch.stack([floats(image) for image in SCENES])
PIXEL_TENSORS = torch.stack([pixels(image) for image in SCENES])
LABELS = [0, 1, 2, 1, 0, 2]


def test_a_dataset_of_pictures_is_treated_as_files_are(tmp_path):
    flat(tmp_path, 6, first=0)
    of_files = open_source(tmp_path, title="a set", prepare=pixels, classes=None, role="far")
    source = opened(Items(*zip(SCENES, LABELS, strict=True)))
    images, labels, batches = read(source)
    assert labels == LABELS
    assert source.expected == 6
    assert torch.equal(images, read(of_files)[0])
    for mine, theirs in zip(batches, of_files.batches(4), strict=True):
        np.testing.assert_array_equal(mine.exact, theirs.exact)
        np.testing.assert_array_equal(mine.near, theirs.near)
    assert source.card["by_class"] == {"0": 2, "1": 2, "2": 2}
    assert source.picture("3").tobytes() == SCENES[3].tobytes()
    assert source.picture("77") is None
    assert source.picture("../x") is None


def test_odd_pictures_too():
    odd = [SCENES[0].convert("L"), Image.new("LA", (8, 4), (0, 0)), Image.new("CMYK", (4, 4))]
    source = opened(Items(*odd), "far")
    images, _, _ = read(source)
    assert torch.equal(images[1], torch.full((3, 16, 16), 255, dtype=torch.uint8))
    assert source.card["kinds"][GREY] == 2
    assert source.card["kinds"][OBLONG] == 1
    assert FRAMES not in source.card["kinds"]


AS_LOADERS = {
    "tensors and labels": lambda: DataLoader(TensorDataset(FLOATS, torch.tensor(LABELS)), batch_size=4),
    "dicts": lambda: DataLoader(
        Items(*({"image": x, "label": y} for x, y in zip(FLOATS, LABELS, strict=True))), batch_size=4
    ),
    "dicts as transformers has them": lambda: DataLoader(
        Items(*({"pixel_values": x, "labels": y} for x, y in zip(FLOATS, LABELS, strict=True))), batch_size=5
    ),
    "elements": lambda: DataLoader(
        Items(*zip(FLOATS, LABELS, strict=True)), batch_size=2, collate_fn=lambda elements: elements
    ),
    "lists of tensors": lambda: DataLoader(
        Items(*zip(FLOATS, LABELS, strict=True)),
        batch_size=2,
        collate_fn=lambda e: tuple(map(list, zip(*e, strict=True))),
    ),
    "no batches": lambda: DataLoader(Items(*zip(FLOATS, LABELS, strict=True)), batch_size=None),
    "a stream": lambda: DataLoader(Stream(*zip(FLOATS, LABELS, strict=True)), batch_size=4),
    "a stream without a loader": lambda: Stream(*zip(FLOATS, LABELS, strict=True)),
    "a list": lambda: list(zip(FLOATS, LABELS, strict=True)),
    "float64": lambda: DataLoader(TensorDataset(FLOATS.double(), torch.tensor(LABELS)), batch_size=4),
    "arrays": lambda: Items(*zip(FLOATS.numpy(), np.array(LABELS), strict=True)),
    "with more": lambda: Items(*((x, y, "path") for x, y in zip(FLOATS, LABELS, strict=True))),
}


@pytest.mark.parametrize("form", AS_LOADERS)
def test_tensors_are_taken_as_the_model_takes_them(form):
    source = opened(AS_LOADERS[form](), prepare=None)
    images, labels, batches = read(source)
    assert torch.equal(images, FLOATS)
    assert labels == LABELS
    assert [name for batch in batches for name in batch.names] == list("012345")
    assert source.card["kinds"] == {AS_GIVEN: 6}
    assert len({code for batch in batches for code in batch.exact.tolist()}) == 6
    assert source.picture("0") is None


@pytest.mark.parametrize("form", ["image", "tuple", "batch", "pictures", "dict"])
def test_images_alone(form):
    data = {
        "image": Items(*FLOATS),
        "tuple": Items(*((x,) for x in FLOATS)),
        "batch": DataLoader(FLOATS, batch_size=3),
        "pictures": DataLoader(Items(*SCENES), batch_size=3, collate_fn=list),
        "dict": Items(*({"image": x} for x in FLOATS)),
    }[form]
    source = opened(data, "far", prepare=pixels if form == "pictures" else None)
    images, labels, _ = read(source)
    assert len(images) == 6
    assert labels is None
    source = opened(data, "id_val", prepare=pixels if form == "pictures" else None)
    assert read(source)[1] is None
    assert "there are no labels" in source.card["notes"][-1]


def test_pixels_are_prepared_but_where_they_fit():
    whole = torch.stack([torch.from_numpy(np.asarray(s).transpose(2, 0, 1).copy()) for s in SCENES])
    source = opened(Items(*whole), "far")
    assert torch.equal(read(source)[0], PIXEL_TENSORS)
    assert source.picture("2").tobytes() == SCENES[2].tobytes()
    assert source.card["kinds"] == {PIXELS: 6}
    assert torch.equal(read(opened(Items(*PIXEL_TENSORS), "far"))[0], PIXEL_TENSORS)
    assert torch.equal(read(opened(Items(*PIXEL_TENSORS), "far", prepare=None))[0], PIXEL_TENSORS)
    as_floats = read(opened(Items(*PIXEL_TENSORS), "far", prepare=floats))[0]
    assert torch.equal(as_floats, FLOATS)
    channels_last = [np.asarray(s) for s in SCENES]
    assert torch.equal(read(opened(channels_last, "far"))[0], PIXEL_TENSORS)
    grey = opened(
        Items(torch.full((1, 16, 16), 7, dtype=torch.uint8), torch.full((9, 9), 7, dtype=torch.uint8)), "far"
    )
    assert torch.equal(read(grey)[0], torch.full((2, 3, 16, 16), 7, dtype=torch.uint8))


def test_elements_that_fail_are_broken():
    nan = FLOATS[0].clone()
    nan[0, 0, 0] = float("nan")
    bad = [
        ValueError("truncated\x1b"),
        nan,
        torch.zeros(3, 4, 4, dtype=torch.int64),
        "x.png",
        torch.zeros(0, 3, 3),
        None,
    ]
    source = opened(Items(FLOATS[0], *bad, FLOATS[1]), "far", prepare=None)
    images, _, batches = read(source, 2)
    assert len(images) == 2
    assert [name for batch in batches for name in batch.names] == ["0", "7"]
    reasons = {one["name"]: one["reason"] for one in source.card["broken"]["first"]}
    assert reasons == {
        "1": "ValueError: truncated\\x1b",
        "2": "has values that are not finite",
        "3": "is of torch.int64; expected uint8 pixels or floats",
        "4": "is str; expected a picture or a tensor",
        "5": "has shape (0, 3, 3); expected (C, H, W)",
        "6": "is NoneType; expected a picture or a tensor",
    }
    with pytest.raises(DataError, match="none of the 1 images can be used; 0: is str"):
        read(opened(Items("x"), "far"))


def test_a_loader_that_fails_says_where():
    with pytest.raises(DataError, match=r"a set: batch 1 failed: ValueError: .*boom"):
        read(opened(DataLoader(Items(FLOATS[0], ValueError("boom"))), "far", prepare=None))
    with pytest.raises(DataError, match="batch 0 failed: TypeError"):
        read(opened(DataLoader(Items(*SCENES)), "far"))


def test_labels_that_are_wrong():
    cases = {
        0.5: "the label of image 0 is 0.5; expected the number of a class",
        "owl": "the label of image 0 is 'owl'",
        True: "the label of image 0 is True",
        3: "image 0: label 3: expected 0 to 2",
        -1: "image 0: label -1",
    }
    for label, says in cases.items():
        with pytest.raises(DataError, match=says):
            read(opened(Items((FLOATS[0], label), (FLOATS[1], 0))))
        read(opened(Items((FLOATS[0], label)), "far"))  # nobody looks at them
    with pytest.raises(DataError, match="1 has no label, and those before have one"):
        read(opened(Items((FLOATS[0], 1), FLOATS[1])))
    with pytest.raises(DataError, match="all images are of one class"):
        read(opened(Items((FLOATS[0], 1), (FLOATS[1], 1)), "id_train"))
    source = opened(Items((FLOATS[0], 1), (FLOATS[1], 1)), "id_test")
    read(source)
    assert "all images are of one class" in source.card["notes"]


def test_labels_may_be_names():
    names = ClassMap((2, 0), ("owl", "cat"), 3, "name")
    data = Items((FLOATS[0], "cat"), (FLOATS[1], "owl"))
    source = open_source(data, title="t", prepare=None, classes=names, role="id_test")
    assert read(source)[1] == [0, 2]
    assert source.card["by_class"] == {"cat": 1, "owl": 1}


def test_a_shuffled_loader_is_said_and_shows_no_pictures():
    data = TensorDataset(PIXEL_TENSORS, torch.tensor(LABELS))
    source = opened(DataLoader(data, shuffle=True, batch_size=4, drop_last=True))
    read(source)
    assert "shuffles" in source.card["notes"][0]
    assert "drops" in source.card["notes"][1]
    assert source.picture("0") is None
    assert opened(DataLoader(data)).picture("1").size == (16, 16)


def test_what_is_no_source_of_images():
    for data in (7, None, {"a": 1}, object()):
        with pytest.raises(UsageError, match="is no source of images"):
            opened(data)
    with pytest.raises(UsageError, match="pictures cannot be given"):
        read(opened(Items(*SCENES), "far", prepare=None))
    with pytest.raises(DataError, match=r"the keys 'x'; expected one of image, pixel_values"):
        read(opened(Items({"x": 1}), "far"))
    with pytest.raises(DataError, match="no images, expected some"):
        read(opened(Items(), "far"))


def test_images_of_two_sizes():
    with pytest.raises(
        DataError, match=r"1 is torch.float32 \(3, 8, 8\).*those before are torch.float32 \(3, 16, 16\)"
    ):
        read(opened(Items(FLOATS[0], torch.zeros(3, 8, 8)), "far", prepare=None))
