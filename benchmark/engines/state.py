"""What every job of a process shares, and no method may change.

One method's file that replaces ``torch.softmax``, or sets the default type of tensors, would change what
every later job of the process computes. Nothing keeps Python code from doing so: it is found out, and the
process is not used again. Random numbers are not looked at: whoever needs some seeds a generator of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

_MODULES = (  # of libraries, whose functions methods call
    *("builtins", "math", "numpy", "numpy.linalg", "numpy.random", "scipy.linalg", "scipy.special", "torch"),
    *("torch._C", "torch._C._nn", "torch.autograd", "torch.fft", "torch.linalg", "torch.nn"),
    *("torch.nn.functional", "torch.nn.init", "torch.random", "torch.special", "torch.utils.data"),
)
_ROOMS = {"benchmark", "methods"}
_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
AT_MOST = 5  # changes that a message lists


class GlobalState(NamedTuple):
    """Settings by what people call them, and what modules and classes hold, by their names."""

    settings: dict[str, Any]
    namespaces: dict[str, dict[str, Any]]
    recursion_limit: int

    @classmethod
    def now(cls) -> GlobalState:
        """What there is at this moment, of what has been imported."""
        limit = sys.getrecursionlimit()
        return cls(_settings(), {name: dict(found) for name, found in _namespaces()}, limit)

    def changes(self) -> list[str]:
        """Settings and functions that are not as they were; the recursion limit is set back.

        What is new in a module since is no change; in a class it may hide what it inherits.
        """
        found = []
        limit = sys.getrecursionlimit()
        if limit != self.recursion_limit:
            sys.setrecursionlimit(self.recursion_limit)  # first of all: the rest needs some depth
            found.append(f"the recursion limit became {limit}")
        for name, value in _settings().items():
            if value != self.settings[name]:
                found.append(f"{name} became {value}")
        now = dict(_namespaces())
        for owner, before in self.namespaces.items():
            namespace = now.get(owner, {})
            names = before if owner in sys.modules else namespace.keys() | before.keys()
            for name in names:
                old, new = before.get(name), namespace.get(name)
                if old is not new and (callable(old) or callable(new)):
                    found.append(f"{owner}.{name} became {_origin(new)}")
        return found


def _settings() -> dict[str, Any]:
    import numpy as np
    import torch
    from torch.nn.modules import module

    from benchmark.backbones.device import autocasts

    try:
        folder = str(Path.cwd())
    except FileNotFoundError:
        folder = "a folder that is gone"
    return {
        "the default type of tensors": torch.get_default_dtype(),
        "the default device": torch.get_default_device(),
        "the use of deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "the number of threads": torch.get_num_threads(),
        "whether gradients are recorded": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": autocasts(),
        "the precision of matrix products": torch.get_float32_matmul_precision(),
        "the benchmark mode of cuDNN": torch.backends.cudnn.benchmark,
        "the hooks of all modules": [list(vars(module)[name]) for name in _HOOKS],
        "NumPy's handling of floating-point errors": np.geterr(),
        "the working folder": folder,
    }


def _namespaces() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Modules and classes whose functions must stay, by name."""
    import torch

    for name, module in list(sys.modules.items()):
        if module is not None and (name in _MODULES or name.partition(".")[0] in _ROOMS):
            yield name, vars(module)
    layers = [value for value in vars(torch.nn).values() if isinstance(value, type)]
    for kind in (torch.Tensor, torch._C.TensorBase, torch.autograd.Function, *layers):
        yield f"{kind.__module__}.{kind.__qualname__}", vars(kind)


def _origin(new: object) -> str:
    """What took the place of a function, and where it comes from."""
    code = getattr(new, "__code__", None)
    if isinstance(code, CodeType):
        return f"a function of {Path(code.co_filename).name}:{code.co_firstlineno}"
    return f"another {type(new).__name__}"
