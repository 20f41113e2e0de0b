"""The reference paper (arXiv:1911.00105) made checkable: its hardware model, solver and logged designs.

``PAPER`` is the model as the paper's results were made, ``CORRECTED`` the same with its defects repaired; ``evaluate``
prices a design under either, ``solve`` finds tiles and groups, and ``reproduce`` puts what was claimed beside both.
"""

from flow.paper.design import PaperDesign, PaperLayer, PaperNetwork
from flow.paper.logged import LOGGED
from flow.paper.model import CORRECTED, PAPER, Evaluation, HardwareModel, Limits, evaluate

__all__ = [
    "CORRECTED",
    "LOGGED",
    "PAPER",
    "Evaluation",
    "HardwareModel",
    "Limits",
    "PaperDesign",
    "PaperLayer",
    "PaperNetwork",
    "evaluate",
]
