"""Families of methods: a folder each, and whatever other packages register for the same base classes.

A method's file has its registry name, so asking for one method imports one file. A file that does not import,
ends Python, registers another name than its own or a method that lacks something is reported by `broken` and
keeps no other from being found.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Generic, NoReturn, TypeVar

from methods.complete import check_complete
from methods.errors import BrokenMethod, UnknownMethod
from methods.method import Method
from methods.names import borne_by, describe, did_you_mean

GROUP = "oodbench.methods"  # of entry points: the modules of other packages
M = TypeVar("M", bound=Method)

families: dict[str, Family[Any]] = {}  # each by its folder, in the order in which they are listed
_broken: dict[str, str] = {}
_checked: set[str] = set()  # modules that were loaded and whose methods lack nothing


class Family(Generic[M]):
    """The methods of one folder of this package, and those of others that have the same bases."""

    def __init__(self, folder: str, bases: tuple[type[M], ...]) -> None:
        self.folder = folder
        self.bases = bases
        self.found: dict[str, type[M]] = {}  # what was loaded so far, by name
        families[folder] = self

    def add(self, name: str, cls: type[M]) -> None:
        """Enter a class by its name; raises `ValueError` for a name that is that of another file."""
        self._check_name(name, cls)
        cls.name = name
        cls.aliases = cls.__dict__.get("aliases", ())  # a subclass is another method than its base
        self.found[name] = cls

    def files(self) -> list[str]:
        """The names that files of the folder have, loaded or not."""
        package = importlib.import_module(f"methods.{self.folder}")
        return [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]

    def knows(self, name: str) -> bool:
        """Whether there is a file of that name, or a loaded method."""
        return name in self.found or name in self.files()

    def find(self, name: str) -> type[M]:
        """Find a class by its registry name without loading the others.

        Raises
        ------
        BrokenMethod
            If its file could not be loaded, or the method lacks something.
        UnknownMethod
            With the nearest names, or ours of what others call so.
        """
        module = f"methods.{self.folder}.{name}"
        if name in self.files():
            _load(module)
        elif name not in self.found:
            load_all()
        if name in self.found:
            return self.found[name]
        kind = self.folder[:-1].replace("_", " ")
        if module in _broken:
            raise BrokenMethod(f"{kind} {name!r} could not be loaded: {_broken[module]}")
        if (ours := meant_by(name, self)) != name:
            raise UnknownMethod(f"no {kind} {name!r}; here it is {ours!r}")
        hint = did_you_mean(name, sorted(self.found), f"oodbench list {self.folder}")
        raise UnknownMethod(f"no {kind} {name!r}; {hint}")

    def make(self, name: str, hyperparameters: Mapping[str, Any]) -> M:
        """Make a method, by any name that it is known as; errors as for `find` and of `Method.configure`."""
        return self.find(meant_by(name, self)).configure(hyperparameters)

    def all(self) -> dict[str, type[M]]:
        """Every class that can be loaded, by name, sorted."""
        load_all()
        return dict(sorted(self.found.items()))

    def _check_name(self, name: str, cls: type[M]) -> None:
        """Refuse a name that belongs to another file: which of two would win depended on who loads them."""
        ours = f"methods.{self.folder}.{name}"
        other = self.found.get(name)
        taken = None
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            taken = other.__module__
        elif cls.__module__ != ours and name in self.files():
            taken = ours
        if taken is not None:
            raise ValueError(
                f"{self.folder}: {name!r} is that of {_file(taken)} already; choose another name for "
                f"{cls.__qualname__} of {_file(cls.__module__)}"
            )
        if cls.__module__.startswith("methods.") and cls.__module__ != ours:
            family, _, file = cls.__module__.removeprefix("methods.").rpartition(".")
            raise ValueError(
                f"{_file(cls.__module__)} registers {cls.__qualname__} in {self.folder} as {name!r}; "
                f"expected one method of {family} by the name of the file, {file!r}"
            )


def meant_by(name: str, *among: Family[Any]) -> str:
    """Our name of what other libraries and papers call `name`; `name` itself if it is ours, or nobody's.

    Raises
    ------
    UnknownMethod
        If it may mean several methods.
    """
    if any(family.knows(name) for family in among):
        return name
    meant = borne_by(name, {own: cls.aliases for family in among for own, cls in family.all().items()})
    if len(meant) > 1:
        raise UnknownMethod(f"{name!r} may mean {' or '.join(map(repr, meant))}; choose one")
    return meant[0] if meant else name


def broken() -> dict[str, str]:
    """Modules that could not be loaded, or whose method lacks something, each with its error."""
    load_all()
    return dict(_broken)


def load_all() -> None:
    """Load every method there is; what is wrong with one is told by `broken`."""
    for family in families.values():
        for name in family.files():
            _load(f"methods.{family.folder}.{name}")
    for point in entry_points(group=GROUP):
        _load(point.module)


def _load(module: str) -> None:
    """Import a module and check the methods that it registers; what is wrong with them is in `_broken`."""
    if module in _checked and module in sys.modules:
        return
    problems: dict[str, str] = {}
    try:
        with _going_on():
            importlib.import_module(module)
        problems = _lacking(module)
    except KeyboardInterrupt:  # a person's
        raise
    except BaseException as error:  # a contributed file may fail in any way; `broken` tells
        ends = "" if isinstance(error, Exception) else "ends Python when it is imported: "
        problems[module] = ends + describe(error)
        _forget(module)
    for known in [key for key in _broken if _is_part(key, module)]:
        del _broken[known]
    _broken.update(problems)
    if problems:
        sys.modules.pop(module, None)  # so that it is looked at anew when it may have been mended
        _checked.discard(module)
    else:
        _checked.add(module)


@contextmanager
def _going_on() -> Iterator[None]:
    """Let no file end Python while it is imported: after ``os._exit`` nobody could tell which one it was."""
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:  # a process that the file began may end
            leave(status)
        raise SystemExit(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


def _is_part(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _registered(module: str) -> list[tuple[Family[Any], type[Method]]]:
    """Family and class of each method of a module, or of those that belong to a package."""
    classes = ((family, cls) for family in families.values() for cls in family.found.values())
    return [(family, cls) for family, cls in classes if _is_part(cls.__module__, module)]


def _forget(module: str) -> None:
    """Undo what a half-loaded module registered; what it imported of others stays."""
    for family, cls in _registered(module):
        del family.found[cls.name]
        sys.modules.pop(cls.__module__, None)


def _lacking(module: str) -> dict[str, str]:
    """Take the methods of a module out that lack something: what each lacks, by module."""
    methods = _registered(module)
    if module.startswith("methods.") and not methods:
        raise ValueError(
            f"{_file(module)} registers no method; expected @register({module.rpartition('.')[2]!r}), "
            "or a name that begins with '_' for what methods share"
        )
    problems = {}
    for family, cls in methods:
        try:
            check_complete(cls)
        except Exception as error:  # of `__post_init__`, which is the file's
            del family.found[cls.name]
            problems[cls.__module__] = f"{cls.__qualname__}: {describe(error)}"
            sys.modules.pop(cls.__module__, None)
    return problems


def _file(module: str) -> str:
    """The file of a module, loaded or not; its name where there is none."""
    loaded = sys.modules.get(module)
    if loaded is None and module.startswith("methods."):
        package = importlib.import_module(module.rpartition(".")[0])
        found = [f"{folder}/{module.rpartition('.')[2]}.py" for folder in package.__path__]
        return next(filter(os.path.isfile, found), module)
    return getattr(loaded, "__file__", None) or module  # __main__ may have none
