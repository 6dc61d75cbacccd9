"""What is compared: detectors and training objectives, one file a method.

This room depends on torch and its own `base` only, never on the harness in `benchmark`.
"""
