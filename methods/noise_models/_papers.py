"""The papers that the noise models come from."""

from __future__ import annotations

from methods.method import Paper

FORWARD = Paper(
    title="Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach",
    authors="G. Patrini, A. Rozza, A. Krishna Menon, R. Nock, L. Qu",
    venue="CVPR",
    year=2017,
    arxiv="1609.03683",
)
GLC = Paper(
    title="Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe Noise",
    authors="D. Hendrycks, M. Mazeika, D. Wilson, K. Gimpel",
    venue="NeurIPS",
    year=2018,
    arxiv="1802.05300",
)
