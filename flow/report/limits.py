"""What a measured design has to keep, and in words what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow.resources import Measurement, Resources

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
