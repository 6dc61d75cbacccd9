"""The losses that attacks climb: worked numbers."""

import torch
from attack_examples import INPUTS, ZERO, Z, close

from methods.attacks._losses import carlini_wagner, dlr, margin, targeted_dlr


def test_the_worked_losses():
    close(margin(Z, ZERO), "cw.margin")
    close(carlini_wagner(Z, ZERO, 50.0), "cw.loss50")
    close(dlr(Z, ZERO), "dlr")
    close(targeted_dlr(Z, ZERO, torch.tensor(INPUTS["targets"])), "dlrt")
