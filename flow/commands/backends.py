"""What ``flow synth`` and ``flow verify`` know of a backend: a module that synthesizes and verifies in its own way.

A module has ``synth(whats, args, say) -> list[Synthesized]`` and ``verify(what, args, say) -> Verified``, and its name
in ``BACKENDS``; ``args`` are the command's arguments, ``say`` tells the user what takes time. What went wrong with one
of several is in its ``Synthesized``; what concerns all (a tool that is missing) is raised.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow.commands.what import What
    from flow.errors import FlowError
    from flow.hls.agree import Comparison
    from flow.resources import Measurement, Resources

BACKENDS = {
    "vitis": "flow.commands.backend_hls",
    "vivado": "flow.commands.backend_hls",
    "rtl": "flow.commands.backend_rtl",
}
"""Modules by the names ``--backend`` takes; the first is the default."""


CLOCK_ROUNDING = 0.005
"""Share by which a clock may be below what was asked for: reports round periods to 10 ps."""


@dataclass(frozen=True)
class Limits:
    """What a design has to keep; None: no limit."""

    budget: Resources
    throughput_per_s: float | None = None
    latency_us: float | None = None
    clock_mhz: float | None = None

    def misses(self, measured: Measurement) -> list[str]:
        """Every limit that a measurement is beyond, in words."""
        from flow.report.winners import LABELS, amount, significant

        found = [
            f"{amount(value)} {LABELS[name]} of {amount(limit)}"
            for (name, value), (_, limit) in zip(measured.resources, self.budget, strict=True)
            if value is not None and limit is not None and value > limit
        ]
        fps, latency = measured.throughput_per_s, measured.latency_us
        if self.throughput_per_s is not None and fps is not None and fps < self.throughput_per_s:
            found.append(f"{significant(fps)} of {significant(self.throughput_per_s)} inferences/s")
        if self.latency_us is not None and latency is not None and latency > self.latency_us:
            found.append(f"{significant(latency)} us of {significant(self.latency_us)} us latency")
        if self.clock_mhz is not None and measured.clock_mhz < self.clock_mhz * (1 - CLOCK_ROUNDING):
            found.append(f"{measured.clock_mhz:.4g} of {self.clock_mhz:.4g} MHz")
        return found


@dataclass(frozen=True, eq=False)
class Synthesized:
    """One design synthesized, or why it was not (``error``).

    ``measurements``: what was measured, the one nearest to the hardware last. ``predicted``: the prediction of just
    this design. ``as_found``: whether it is the winner as the run has it, so that its numbers may be kept there.
    ``seconds`` by step, of which ``reused`` had been done before. ``notes``: what else there is to say.
    """

    what: What
    folder: Path | None = None
    measurements: tuple[Measurement, ...] = ()
    predicted: Measurement | None = None
    limits: Limits | None = None
    as_found: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    reused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: FlowError | None = None

    @property
    def misses(self) -> list[str]:
        """The limits that the measurement nearest to the hardware is beyond."""
        if self.limits is None or not self.measurements:
            return []
        return self.limits.misses(self.measurements[-1])


@dataclass(frozen=True, eq=False)
class Verified:
    """What was compared with the integers, on which samples, and in which folder.

    ``notes``: what else was found as promised; ``faults``: what was not.
    """

    what: What
    folder: Path | None
    samples: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether all agree, and nothing is wrong besides."""
        return not self.faults and all(comparison.agrees for comparison in self.comparisons)


def backend(name: str | None) -> Any:
    """The module of a backend."""
    return importlib.import_module(BACKENDS[name or next(iter(BACKENDS))])
