"""Adversarial examples: robust accuracy under attacks, and OOD detection when the detector is attacked."""
