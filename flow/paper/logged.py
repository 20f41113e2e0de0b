"""The three designs whose details the logs of the reference paper give, and what is claimed for them."""

from __future__ import annotations

from dataclasses import dataclass

from flow.paper.design import PaperDesign
from flow.paper.model import Limits


@dataclass(frozen=True)
class LoggedDesign:
    """A design from the logs: the limits of its search, and the claimed LUTs and images a second.

    Source: arXiv:1911.00105 and the published code and logs of its authors.
    """

    name: str
    title: str
    design: PaperDesign
    limits: Limits
    claimed_lut: int
    claimed_per_s: float


D = LoggedDesign(
    "D",
    "the headline: 82.98% on CIFAR-10",
    PaperDesign.parse(
        "5x3-48-pool1 a2.6 w2.6; 3x1-48-2 a3.2 w2.5; 1x7-36-2 a2.5 w1.5; 7x3-36-1 a3.1 w2.4; 5x5-24-1 a3.3 w3.4; "
        "1x1-24-1 a2.5 w0.6",
        "(3,48)(12,48)|(16,36)|(18,36)|(18,24)(8,24)",
    ),
    Limits(30_000, 1000),
    29_904,
    1293,
)
E = LoggedDesign(
    "E",
    "found under 100,000 LUTs",
    PaperDesign.parse(
        "5x1-48-1 a1.2 w3.3; 5x3-48-2 a2.1 w1.5; 1x5-36-1 a1.6 w3.4; 7x7-64-2 a3.4 w2.6; 7x3-64-2 a1.2 w1.5; "
        "5x3-48-1 a1.4 w1.4",
        "(3,48)(48,48)(24,36)|(36,64)|(64,32)|(64,48)",
    ),
    Limits(100_000, 1000),
    94_496,
    1042,
)
F = LoggedDesign(
    "F",
    "found under 300,000 LUTs",
    PaperDesign.parse(
        "1x5-64-1 a3.4 w3.4; 1x7-36-1 a3.1 w1.4; 5x7-64-2 a3.5 w0.5; 5x3-48-2 a2.3 w1.4; 7x7-48-1 a2.2 w0.4; "
        "1x5-36-1 a3.4 w2.3",
        "(3,64)(64,36)(36,64)(32,48)(48,48)(3,36)",
    ),
    Limits(300_000, 1000),
    299_860,
    2089,
)
LOGGED = (D, E, F)
"""All of them, by LUT limit."""
