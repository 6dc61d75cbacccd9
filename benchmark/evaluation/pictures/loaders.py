"""Images that come from Python: torch's datasets and loaders, and sequences of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from benchmark.backbones.device import on_cpu
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.images import ImageBatch
from benchmark.evaluation.pictures.classes import ClassMap
from benchmark.evaluation.pictures.decoding import Broken, Decoded, quiet, upright
from benchmark.evaluation.pictures.gathering import Disjoint, Prepare, Read, Role, gather, prepared
from benchmark.evaluation.pictures.hashes import exact_of_tensor, grids_of_tensors
from benchmark.evaluation.pictures.tally import Tally
from methods.errors import printable, said

IMAGE_KEYS, LABEL_KEYS = ("image", "pixel_values", "img", "images"), ("label", "labels")
PIXELS, AS_GIVEN = "tensor of pixels", "tensor as the model takes it"


class Element(NamedTuple):
    """One image and its label, or what was raised in their place."""

    name: str
    image: Any
    label: Any = None
    error: Exception | None = None


class LoaderSource:
    """What yields ``(image, label)``, images, or dicts of ``image`` and ``label``.

    Images are PIL's, which are prepared as those of files are; uint8 tensors or arrays, (C, H, W) or
    (H, W, C), which are pixels: prepared too, but where they have the shape that the model takes; and tensors
    of floats (C, H, W), which are taken to be as the model takes them. Images are named by their place.
    An element of a dataset that fails is broken; a loader that fails cannot go on.

    Parameters are those of `open_source`.
    """

    def __init__(
        self,
        data: Any,
        title: str,
        prepare: Prepare | None,
        classes: ClassMap | None,
        role: Role,
        disjoint: Disjoint | None = None,
    ) -> None:
        self._mapped = (
            hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping)
        )
        if not self._mapped and not isinstance(data, DataLoader | IterableDataset):
            raise UsageError(
                f"{title}: {type(data).__name__} is no source of images; expected a path, hub:OWNER/NAME, or "
                "a torch Dataset or DataLoader"
            )
        self.title = title
        self._data, self._prepare, self._classes, self._role, self._disjoint = (
            data,
            prepare,
            classes,
            role,
            disjoint,
        )
        self._takes = _shape_of(prepare)
        self._notes, self.expected = _order_of(data)
        if classes is not None and role.startswith("id_"):
            self._notes += classes.notes
        self._kind = "DataLoader" if isinstance(data, DataLoader) else "Dataset"
        self._tally = Tally(self._kind, self._notes)

    def batches(self, size: int) -> Iterator[ImageBatch]:
        """See `ImageSource.batches`."""
        quiet()
        self._tally = Tally(self._kind, self._notes)
        yield from gather(self._reads(), size, self._tally, self.title, self._role, self._disjoint)
        if not self._role.startswith("id_"):
            return
        if not self._tally.labelled:
            self._tally.note("there are no labels: accuracy and what is fitted by class cannot be had")
        elif self._tally.classes == 1 and self._tally.images > 1:
            if self._role == "id_train":
                raise DataError(f"{self.title}: all images are of one class, expected several")
            self._tally.note("all images are of one class")

    def picture(self, name: str) -> Image.Image | None:
        """See `ImageSource.picture`: of datasets, and of loaders that go through one in order."""
        data = self._data
        if isinstance(data, DataLoader):
            if isinstance(data.sampler, torch.utils.data.SequentialSampler) and not data.drop_last:
                data = data.dataset
            else:
                return None
        if not name.isdecimal() or not hasattr(data, "__getitem__"):
            return None
        try:
            image = _taken_apart(name, data[int(name)]).image
            return None if _is_float(image) else _picture(image).image
        except Exception:  # whatever a dataset raises, there is no picture
            return None

    @property
    def card(self) -> dict[str, Any]:
        """See `ImageSource.card`."""
        return self._tally.card

    def _elements(self) -> Iterator[Element]:
        if isinstance(self._data, DataLoader):
            yield from _of_loader(self._data, self.title)
        elif self._mapped:
            for index in range(len(self._data)):
                try:
                    value = self._data[index]
                except Exception as error:  # of somebody else's code
                    yield Element(str(index), None, error=error)
                else:
                    yield _taken_apart(str(index), value)
        else:
            for index, value in enumerate(_guarded(self._data, self.title, "element")):
                yield _taken_apart(str(index), value)

    def _reads(self) -> Iterator[Read]:
        for element in self._elements():
            try:
                if element.error is not None:
                    raise Broken(f"{type(element.error).__name__}: {said(element.error)}")
                read = self._read(element.name, element.image)
            except Broken as reason:
                yield Read(element.name, None, broken=printable(str(reason)))
                continue
            label = None if element.label is None else self._label(element)
            yield read._replace(label=label[0], of=label[1]) if label else read

    def _read(self, name: str, image: Any) -> Read:
        given = _tensor(image)
        if given is None or (given.dtype == torch.uint8 and self._takes not in (None, tuple(given.shape))):
            if self._prepare is None:
                raise UsageError(
                    f"{self.title}: pictures cannot be given to this model; expected tensors as it takes them"
                )
            picture = _picture(image)
            kinds = picture.kinds if given is None else (PIXELS,)
            return prepared(name, Decoded(picture.image, kinds), self._prepare)
        if given.is_floating_point():
            given = given.to(torch.float32)
            if not torch.isfinite(given).all():
                raise Broken("has values that are not finite")
        grid = grids_of_tensors(given[None])[0]
        size = (given.shape[2], given.shape[1])
        kinds = (PIXELS if given.dtype == torch.uint8 else AS_GIVEN,)
        return Read(name, given, exact=exact_of_tensor(given), grid=grid, size=size, kinds=kinds)

    def _label(self, element: Element) -> tuple[int | None, str]:
        """The model's class and the set's own name of it; no class for an OOD set."""
        value = element.label
        if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
            value = value.item()
        names = self._classes.names if self._classes else ()
        of = value if isinstance(value, str) else None
        if of is not None and of in names:
            value = names.index(of)
        if not self._role.startswith("id_"):
            return None, printable(str(value))
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise DataError(
                f"{self.title}: the label of image {element.name} is {printable(repr(value))[:80]}; expected "
                "the number of a class"
            )
        number = int(value)
        if self._classes is None:
            return None, str(number)
        try:
            index = int(self._classes.of(np.array([number]))[0])
        except DataError as error:
            raise DataError(f"{self.title}: image {element.name}: {error}") from error
        return index, printable(names[number])


def _order_of(data: Any) -> tuple[tuple[str, ...], int | None]:
    """Notes on the order of a set, and how many images there are."""
    notes: tuple[str, ...] = ()
    if isinstance(data, DataLoader):
        if isinstance(data.sampler, RandomSampler):
            notes += ("the loader shuffles: an image's name is its place in this pass",)
        if data.drop_last:
            notes += ("the loader drops its last images if they fill no batch",)
        data = data.sampler if not isinstance(data.dataset, IterableDataset) else None
    try:
        return notes, len(data)
    except TypeError:
        return notes, None


def _guarded(values: Any, title: str, what: str) -> Iterator[Any]:
    """Iterate; what is raised on the way says where."""
    source = iter(values)
    count = 0
    while True:
        try:
            value = next(source)
        except StopIteration:
            return
        except Exception as error:  # of somebody else's code
            raise DataError(
                f"{title}: {what} {count} failed: {type(error).__name__}: {said(error)}"
            ) from error
        yield value
        count += 1


def _of_loader(loader: DataLoader[Any], title: str) -> Iterator[Element]:
    index = 0
    for batch in _guarded(loader, title, "batch"):
        for element in _of_batch(batch, loader.batch_size is None, title):
            yield element._replace(name=str(index))
            index += 1


def _of_batch(batch: Any, single: bool, title: str) -> Iterator[Element]:
    """The elements of what a loader yields: columns of images and labels, or elements one by one."""
    if single:
        yield _taken_apart("", batch)
        return
    if isinstance(batch, list | tuple) and len(batch) and not _are_columns(batch):
        yield from (_taken_apart("", element) for element in batch)
        return
    images, labels = _parted(batch)
    if not hasattr(images, "__len__"):
        raise DataError(f"{title}: a batch has {type(images).__name__} for its images, expected several")
    if labels is not None and len(labels) != len(images):
        raise DataError(f"{title}: a batch has {len(images)} images and {len(labels)} labels")
    for place in range(len(images)):
        yield Element("", images[place], None if labels is None else labels[place])


def _are_columns(batch: list[Any] | tuple[Any, ...]) -> bool:
    """Whether it is images and labels, and not elements: a column has images only, an element one."""
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray):
        labels = batch[1] if len(batch) > 1 else None
        many = isinstance(labels, Tensor | np.ndarray) and tuple(labels.shape) == (len(first),)
        return first.ndim == 4 or (first.ndim == 3 and many)
    return isinstance(first, list | tuple) and bool(first) and all(map(_is_image, first))


def _is_image(value: Any) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, Tensor | np.ndarray) and value.ndim > 1)


def _taken_apart(name: str, value: Any) -> Element:
    return Element(name, *_parted(value))


def _parted(value: Any) -> tuple[Any, Any]:
    """Image and label, or None, of an element or of a batch.

    Raises
    ------
    DataError
        If a dict has no image.
    """
    if isinstance(value, Mapping):
        key = next((key for key in IMAGE_KEYS if key in value), None)
        if key is None:
            raise DataError(
                f"an element has the keys {printable(', '.join(map(repr, value)))}; expected one of "
                f"{', '.join(IMAGE_KEYS)}"
            )
        return value[key], next((value[key] for key in LABEL_KEYS if key in value), None)
    if isinstance(value, list | tuple) and value:
        return value[0], value[1] if len(value) > 1 else None
    return value, None


def _tensor(image: Any) -> Tensor | None:
    """An image (C, H, W) that is a tensor or an array; None if it is a picture.

    Raises
    ------
    Broken
        If it is neither, or of another shape or type.
    """
    if isinstance(image, Image.Image):
        return None
    if isinstance(image, np.ndarray):
        try:
            image = torch.from_numpy(np.array(image))
        except TypeError as error:
            raise Broken(f"is an array of {image.dtype}; expected uint8 or floats") from error
    if not isinstance(image, Tensor):
        raise Broken(f"is {type(image).__name__}; expected a picture or a tensor")
    given: Tensor = on_cpu(image.detach())
    if given.ndim == 2:
        given = given[None]
    if given.ndim != 3 or not given.numel():
        raise Broken(f"has shape {tuple(given.shape)}; expected (C, H, W)")
    if given.dtype == torch.uint8:
        return (
            given.permute(2, 0, 1)
            if given.shape[0] not in (1, 3, 4) and given.shape[2] in (1, 3, 4)
            else given
        )
    if not given.is_floating_point():
        raise Broken(f"is of {given.dtype}; expected uint8 pixels or floats")
    return given


def _is_float(image: Any) -> bool:
    return (
        not isinstance(image, Image.Image)
        and (found := _tensor(image)) is not None
        and found.is_floating_point()
    )


def _picture(image: Any) -> Decoded:
    """An image of pixels as a picture."""
    if isinstance(image, Image.Image):
        try:
            return upright(image)
        except Broken:
            raise
        except Exception as error:  # Pillow reads on when it must, and then raises almost anything
            raise Broken(f"{type(error).__name__}: {said(error)}") from error
    given = _tensor(image)
    assert given is not None
    if given.shape[0] not in (1, 3, 4):
        raise Broken(f"has shape {tuple(given.shape)}; expected 1, 3 or 4 channels of pixels")
    pixels = given.permute(1, 2, 0).contiguous().numpy()
    return upright(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def _shape_of(prepare: Prepare | None) -> tuple[int, ...] | None:
    """Of what `prepare` makes of a picture, if that is pixels; a shape that nothing has if it is not."""
    if prepare is None:
        return None
    try:
        made = prepare(Image.new("RGB", (64, 64), (128, 128, 128)))
    except Exception:  # it is called for each image, and then says why
        return (0,)
    return tuple(made.shape) if made.dtype == torch.uint8 else (0,)
