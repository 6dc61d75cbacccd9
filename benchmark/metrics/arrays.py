"""Arrays of NumPy from what a caller has: tensors too, of any device and precision, with gradients or not.

torch is not imported: where there is a tensor, it is there.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_array(values: ArrayLike) -> NDArray[Any]:
    """The same numbers in NumPy; bfloat16, which it lacks, in float32."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(values, torch.Tensor):
        return np.asarray(values)
    tensor: Any = values
    tensor = tensor.detach().cpu()
    return np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)
