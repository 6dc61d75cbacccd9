"""The state of a fitted detector as JSON and tensors, and back, to the last bit.

It is tensors, numbers, text, None, tuples, lists and dicts of these, other detectors, dataclasses, and
objects with a method `kept`, which gives all that as a dict, and a class method `remade`, which takes it.

What is read is held to the types that the detector's class declares for its fields. No class, no module and
no file is ever looked up by a name that was read: a name only chooses among the declared types.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from benchmark.backbones.device import moved
from methods.base import AnyDetector, Detector, EnsembleDetector
from methods.errors import printable

PLAIN = (bool, int, float, str, type(None))
TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_WIDTHS = "_widths"  # of the training features: what `methods.base` checks by
_DEEPEST = 32


class StateError(ValueError):
    """A state that cannot be kept, or is not of this detector: where, what was seen, what was expected."""


def packed(detector: AnyDetector) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The state of a fitted detector as JSON, and its tensors by the names that stand there.

    Raises
    ------
    StateError
        If it holds what cannot be kept, or more than it declares; names the field.
    NotFitted
        If it is not fitted.
    """
    packer = _Packer()
    return packer.fields(detector, detector.name), packer.tensors


def unpacked(detector: AnyDetector, state: object, tensors: Mapping[str, Tensor]) -> AnyDetector:
    """A copy of an unfitted detector with this state.

    Raises
    ------
    StateError
        If the state is not one of this detector: names the field.
    """
    unpacker = _Unpacker(tensors)
    found = unpacker.detector(detector, state, detector.name)
    if left := sorted(set(tensors) - unpacker.used):
        raise StateError(f"tensors that belong nowhere: {', '.join(map(_shown, left[:5]))}")
    return found


def on_device(detector: AnyDetector, device: torch.device) -> AnyDetector:
    """A detector with its state on a device; itself if it has none or all of it lies there."""
    state, tensors = packed(detector)
    if all(tensor.device == device for tensor in tensors.values()):
        return detector
    made = detector.configure(detector.hyperparameters())
    return unpacked(made, state, {name: moved(tensor, device) for name, tensor in tensors.items()})


class _Packer:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._memory: set[int] = set()

    def fields(self, detector: AnyDetector, where: str) -> dict[str, Any]:
        hints = _state_hints(type(detector))
        declared: set[str] = set()
        if dataclasses.is_dataclass(detector):
            declared = {f.name for f in dataclasses.fields(detector)}
        if more := sorted(set(vars(detector)) - declared - {_WIDTHS}):
            raise StateError(f"{where}: keeps {', '.join(more)}, which it does not declare with `fitted()`")
        widths = vars(detector).get(_WIDTHS)
        return {
            "widths": None if widths is None else {k: [list(part) for part in v] for k, v in widths.items()},
            "fields": {
                name: self.node(getattr(detector, name), hint, f"{where}.{name}")
                for name, hint in hints.items()
            },
        }

    def node(self, value: Any, hint: Any, where: str) -> Any:
        _check_type(value, hint, where)
        if isinstance(value, Tensor):
            return self.tensor(value, where)
        if type(value) is float and (value != value or value in (float("inf"), float("-inf"))):
            if value != value:
                raise StateError(f"{where}: is NaN; expected a number")
            return {"float": str(value)}
        if type(value) in PLAIN:
            return value
        if type(value) in (tuple, list):
            inner = _of_items(hint, len(value))
            items = [self.node(v, inner[i], f"{where}[{i}]") for i, v in enumerate(value)]
            return {type(value).__name__: items}
        if type(value) is dict:
            of = _of_values(hint)
            if wrong := [key for key in value if not isinstance(key, str | int) or isinstance(key, bool)]:
                raise StateError(
                    f"{where}: a dict with the key {wrong[0]!r:.80}; expected text or whole numbers"
                )
            return {"dict": [[key, self.node(v, of, f"{where}[{key!r}]")] for key, v in value.items()]}
        chosen = _chosen(type(value), hint)
        if chosen is None:
            raise StateError(
                f"{where}: holds {type(value).__name__}; expected tensors, numbers, text, None, tuples, "
                "lists, dicts, and dataclasses that the field's type names"
            )
        if isinstance(value, Detector | EnsembleDetector):
            own = {"hyperparameters": value.hyperparameters(), **self.fields(value, where)}
            return {"object": chosen, **own}
        if dataclasses.is_dataclass(value):
            hints = get_type_hints(type(value))
            parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return {"object": chosen, "fields": self._nodes(parts, hints, where)}
        kept = value.kept()
        return {"object": chosen, "fields": self._nodes(kept, dict.fromkeys(kept, Any), where)}

    def _nodes(self, parts: Mapping[str, Any], hints: Mapping[str, Any], where: str) -> dict[str, Any]:
        return {k: self.node(v, hints[k], f"{where}.{k}") for k, v in parts.items()}

    def tensor(self, value: Tensor, where: str) -> dict[str, Any]:
        """In the order in which it lies in memory, by which products are rounded."""
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.dtype not in TYPES:
            raise StateError(
                f"{where}: a tensor of {value.dtype}, {value.layout}; expected a dense one of "
                f"{', '.join(TYPES.values())}"
            )
        value = value.detach().resolve_conj().resolve_neg()
        if value.is_floating_point() and bool(value.isnan().any()):
            raise StateError(f"{where}: holds NaN; expected numbers")
        strides = list(value.stride())
        order = sorted(range(value.ndim), key=lambda dim: -strides[dim])
        name = str(len(self.tensors))
        laid = value.permute(order).contiguous()
        memory = laid.untyped_storage().data_ptr()
        self.tensors[name] = laid.clone() if memory in self._memory else laid  # each file entry has its own
        self._memory.add(memory)
        return {"tensor": name, "type": TYPES[value.dtype], "shape": list(value.shape), "order": order}


class _Unpacker:
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.used = tensors, set[str]()

    def detector(self, detector: AnyDetector, state: object, where: str, depth: int = 0) -> AnyDetector:
        widths, fields = self._keys(state, where, "widths", "fields")
        hints = _state_hints(type(detector))
        found = self._values(fields, hints, where, depth)
        if widths is None:
            return detector.with_state(**found)
        if not isinstance(widths, dict) or not all(_is_widths(part) for part in widths.values()):
            raise StateError(f"{where}.widths: expected lists of shapes, got {widths!r:.80}")
        known = {name: tuple(tuple(part) for part in parts) for name, parts in widths.items()}
        return detector.with_state(**found, **{_WIDTHS: known})

    def node(self, node: object, hint: Any, where: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise StateError(f"{where}: nested too deeply")
        value = self._made(node, hint, where, depth)
        _check_type(value, hint, where)
        return value

    def _made(self, node: object, hint: Any, where: str, depth: int) -> Any:
        if type(node) in PLAIN:
            return node
        if not isinstance(node, dict):
            raise StateError(f"{where}: expected a value, got {node!r:.80}")
        match sorted(node):
            case ["float"]:
                if node["float"] not in ("inf", "-inf"):
                    raise StateError(f"{where}: expected inf or -inf, got {node['float']!r:.80}")
                return float(node["float"])
            case ["order", "shape", "tensor", "type"]:
                return self._tensor(node, where)
            case ["tuple" | "list" as kind]:
                items = node[kind]
                if not isinstance(items, list):
                    raise StateError(f"{where}: expected items, got {items!r:.80}")
                inner = _of_items(hint, len(items))
                made = [self.node(v, inner[i], f"{where}[{i}]", depth + 1) for i, v in enumerate(items)]
                return tuple(made) if kind == "tuple" else made
            case ["dict"]:
                return self._dict(node["dict"], hint, where, depth)
            case ["fields", "object"] | ["fields", "hyperparameters", "object", "widths"]:
                return self._object(node, hint, where, depth)
        raise StateError(f"{where}: expected a value, got keys {', '.join(map(_shown, sorted(node)[:8]))}")

    def _dict(self, pairs: object, hint: Any, where: str, depth: int) -> dict[Any, Any]:
        if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
            raise StateError(f"{where}: expected pairs, got {pairs!r:.80}")
        of, made = _of_values(hint), {}
        for key, value in pairs:
            if not isinstance(key, str | int) or isinstance(key, bool) or key in made:
                raise StateError(
                    f"{where}: expected keys that differ, text or whole numbers, got {key!r:.80}"
                )
            made[key] = self.node(value, of, f"{where}[{_shown(key)}]", depth + 1)
        return made

    def _object(self, node: dict[str, Any], hint: Any, where: str, depth: int) -> Any:
        known = {_called(cls): cls for cls in _classes(hint)}
        cls = known.get(node["object"]) if isinstance(node["object"], str) else None
        if cls is None:
            expected = ", ".join(sorted(known)) or "no object"
            raise StateError(f"{where}: expected {expected}, got {_shown(node['object'])}")
        if issubclass(cls, Detector | EnsembleDetector):
            *_, chosen = self._keys(node, where, "object", "fields", "widths", "hyperparameters")
            if not isinstance(chosen, dict):
                raise StateError(f"{where}: expected hyper-parameters, got {chosen!r:.80}")
            own = {k: node[k] for k in ("widths", "fields")}
            return self.detector(cls.configure(chosen), own, where, depth + 1)
        if dataclasses.is_dataclass(cls):
            declared, hints = [f.name for f in dataclasses.fields(cls)], get_type_hints(cls)
            parts = self._values(node["fields"], {name: hints[name] for name in declared}, where, depth)
            made = object.__new__(cls)
            for name, value in parts.items():
                object.__setattr__(made, name, value)
            return made
        fields = node["fields"]
        if not isinstance(fields, dict):
            raise StateError(f"{where}: expected fields, got {fields!r:.80}")
        parts = self._values(fields, dict.fromkeys(fields, Any), where, depth)
        remade: Callable[..., Any] = cls.remade
        try:
            return remade(**parts)
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise StateError(f"{where}: no state of {_called(cls)} ({printable(str(error)):.200})") from error

    def _values(self, fields: object, hints: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
        if not isinstance(fields, dict):
            raise StateError(f"{where}: expected fields, got {fields!r:.80}")
        if fields.keys() != hints.keys():
            missing, more = sorted(hints.keys() - fields.keys()), sorted(fields.keys() - hints.keys())
            told = [f"without {', '.join(missing)}"] if missing else []
            told += [f"with {', '.join(map(_shown, more))}"] if more else []
            raise StateError(
                f"{where}: expected {', '.join(hints) or 'no state'}, got it {' and '.join(told)}"
            )
        return {k: self.node(fields[k], hints[k], f"{where}.{k}", depth + 1) for k in hints}

    def _keys(self, node: object, where: str, *keys: str) -> tuple[Any, ...]:
        if not isinstance(node, dict) or set(node) != set(keys):
            raise StateError(f"{where}: expected {', '.join(keys)}, got {node!r:.120}")
        return tuple(node[key] for key in keys)

    def _tensor(self, node: dict[str, Any], where: str) -> Tensor:
        name, order, shape = node["tensor"], node["order"], node["shape"]
        stored = self.tensors.get(name) if isinstance(name, str) else None
        if stored is None or name in self.used:
            raise StateError(f"{where}: expected a tensor of its own, got the name {_shown(name)}")
        self.used.add(name)
        if not isinstance(order, list) or sorted(map(repr, order)) != sorted(map(repr, range(stored.ndim))):
            raise StateError(f"{where}: expected an order of {stored.ndim} dimensions, got {order!r:.80}")
        back = sorted(range(stored.ndim), key=lambda dim: order[dim])
        made = stored.permute(back)
        seen = TYPES.get(made.dtype, str(made.dtype)), list(made.shape)
        if seen != (node["type"], shape):
            raise StateError(
                f"{where}: expected {_shown(node['type'])} of shape {shape!r:.80}, the file has {seen[0]} of "
                f"shape {seen[1]}"
            )
        if made.is_floating_point() and bool(made.isnan().any()):
            raise StateError(f"{where}: holds NaN; expected numbers")
        return made


def _state_hints(cls: type[Any]) -> dict[str, Any]:
    """The types of the fields that `fit` sets, by name."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields if not f.init}


def _check_type(value: object, hint: Any, where: str) -> None:
    if not _fits(value, hint):
        told = hint.__name__ if isinstance(hint, type) else str(hint)
        raise StateError(f"{where}: expected {told}, as it is declared, got {type(value).__name__}")


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of a declared type; what is inside of it is looked at by itself."""
    origin = get_origin(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is None:
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    kind = origin or hint
    if kind is tuple and isinstance(value, tuple):
        return len(_of_items(hint, len(value))) == len(value)
    return not isinstance(kind, type) or isinstance(value, kind)


def _of_items(hint: Any, count: int) -> list[Any]:
    """The declared types of so many items; fewer, if a tuple is declared to have fewer."""
    for option in _options(hint):
        args = get_args(option)
        if get_origin(option) is tuple and args:
            return [args[0]] * count if args[-1] is Ellipsis else list(args)[:count]
        if isinstance(get_origin(option), type) and args:
            return [args[0]] * count
    return [Any] * count


def _of_values(hint: Any) -> Any:
    found = (get_args(option) for option in _options(hint))
    return next((args[1] for args in found if len(args) == 2), Any)


def _options(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        yield from get_args(hint)
    else:
        yield hint


def _classes(hint: Any) -> Iterator[type[Any]]:
    """The classes of objects that a declared type names, at its top."""
    for option in _options(hint):
        if isinstance(option, type) and _is_object(option):
            yield option


def _is_object(cls: type[Any]) -> TypeGuard[type[Any]]:
    return dataclasses.is_dataclass(cls) or all(callable(getattr(cls, n, None)) for n in ("kept", "remade"))


def _chosen(cls: type[Any], hint: Any) -> str | None:
    """What a class is called in the file, if the declared type names it."""
    return _called(cls) if cls in set(_classes(hint)) else None


def _called(cls: type[Any]) -> str:
    return cls.__qualname__


def _is_widths(parts: object) -> bool:
    return isinstance(parts, list) and all(
        isinstance(part, list) and all(type(size) is int and size >= 0 for size in part) for part in parts
    )


def _shown(thing: object) -> str:
    return printable(f"{thing!r:.80}")
