"""Architectures that timm can build and does not name. Importing this module registers them with timm."""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.efficientnet import _gen_mobilenet_v1


@register_model
def mobilenetv1_025(pretrained: bool = False, **options: Any) -> Any:
    """MobileNetV1 with a quarter of its channels (Howard et al. 2017): 0.47 million parameters.

    Raises
    ------
    RuntimeError
        If published weights are asked for: timm has none of this width.
    """
    if pretrained:
        raise RuntimeError("timm publishes no weights of mobilenetv1_025")
    # By the name timm finds a configuration: that of the same architecture at full width.
    return _gen_mobilenet_v1("mobilenetv1_100", 0.25, **options)  # type: ignore[no-untyped-call]
