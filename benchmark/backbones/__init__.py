"""Networks: made from timm by name, pre-trained, trained, and run over images once.

This room knows timm's own interfaces and no architecture by name; it must not know detectors or metrics.
"""
