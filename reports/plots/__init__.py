"""Figures: how they look, and those of the cells of OOD detection."""
