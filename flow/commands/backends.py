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

from flow.report.limits import Limits as Limits

if TYPE_CHECKING:
    from flow.commands.what import What
    from flow.errors import FlowError
    from flow.hls.agree import Comparison
    from flow.resources import Measurement

BACKENDS = {
    "vitis": "flow.commands.backend_hls",
    "vivado": "flow.commands.backend_hls",
    "rtl": "flow.commands.backend_rtl",
}
"""Modules by the names ``--backend`` takes; the first is the default."""


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
