"""What a winner must meet: resources, throughput, latency, and the clock it all refers to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from flow.board import Board
from flow.errors import InputError, unknown_name
from flow.resources import Resources

DEFAULT_FPS = 1000.0
"""Inferences per second required where the user names no figure: faster than any camera."""

MAX_CYCLES = 2**53
"""Limits looser than this are cut to it: whole numbers are exact in float64 up to here, and it is years of cycles."""

Bound = Literal["upper", "middle"]
"""Which amount of a prediction a budget is compared with: the upper end of its 90% interval, or its middle."""

BOUNDS: tuple[Bound, ...] = get_args(Bound)


@dataclass(frozen=True)
class Spec:
    """Limits on one accelerator. ``clock_mhz`` is what the board makes, ``requested_clock_mhz`` what was asked for.

    ``requested_clock_mhz`` is None where the board's default was taken; ``max_latency_us`` is None for no limit.
    ``bound``: what of a predicted amount has to be within the budget, see ``Bound``.
    """

    budget: Resources
    min_throughput_per_s: float
    max_latency_us: float | None
    clock_mhz: float
    requested_clock_mhz: float | None
    bound: Bound = "upper"

    @property
    def max_interval_cycles(self) -> int:
        """The most clock cycles between two inferences that still give the throughput; at least 1."""
        return _most_cycles(
            self.clock_mhz * 1e6 / self.min_throughput_per_s,
            lambda cycles: self.clock_mhz * 1e6 / cycles >= self.min_throughput_per_s,
        )

    @property
    def max_latency_cycles(self) -> int | None:
        """The most clock cycles one inference may take, or None without a limit; at least 1."""
        limit = self.max_latency_us
        if limit is None:
            return None
        return _most_cycles(limit * self.clock_mhz, lambda cycles: cycles / self.clock_mhz <= limit)

    def to_dict(self) -> dict[str, Any]:
        """The form in ``run.yaml`` and ``winners.json``."""
        return {
            "budget": self.budget.to_dict(),
            "min_throughput_per_s": self.min_throughput_per_s,
            "max_latency_us": self.max_latency_us,
            "clock_mhz": self.clock_mhz,
            "requested_clock_mhz": self.requested_clock_mhz,
            "bound": self.bound,
        }


def make_spec(
    board: Board,
    *,
    lut: float | None = None,
    fps: float | None = None,
    latency_us: float | None = None,
    clock_mhz: float | None = None,
    bound: str = "upper",
) -> Spec:
    """The spec on ``board``: what is not given is the board's budget, 1000 inferences/s, no latency limit, its clock,
    and upper ends of intervals within the budget.

    A LUT budget may go beyond the board's headroom, since the user asked for it, but not beyond what the shell leaves.
    Raises InputError with one line for each limit that is no positive number or that nothing on this board can meet.
    """
    for what, value in (("LUT budget", lut), ("fps", fps), ("latency", latency_us), ("clock", clock_mhz)):
        if value is not None:
            _check_positive(what, value)
    if bound not in BOUNDS:
        raise unknown_name("bound", bound, BOUNDS)
    available, capacity = board.available.lut, board.capacity.lut
    if lut is not None and available is not None and lut > available:
        raise InputError(
            f"a budget of {lut:,.10g} LUT is more than board {board.name} has: "
            f"of its {capacity:,.10g} LUT the shell leaves {available:,.10g}"
        )
    clock = board.resolve_clock(board.default_clock_mhz if clock_mhz is None else clock_mhz).mhz
    spec = Spec(
        budget=board.budget if lut is None else replace(board.budget, lut=lut),
        min_throughput_per_s=DEFAULT_FPS if fps is None else fps,
        max_latency_us=latency_us,
        clock_mhz=clock,
        requested_clock_mhz=clock_mhz,
        bound=bound,
    )
    if spec.min_throughput_per_s > clock * 1e6:
        raise InputError(
            f"{spec.min_throughput_per_s:,.10g} inferences/s are out of reach: one each clock cycle is the most, "
            f"{clock * 1e6:,.10g} at {clock:g} MHz"
        )
    if latency_us is not None and latency_us < 1 / clock:
        raise InputError(
            f"a latency of {latency_us:g} us is out of reach: one clock cycle takes {1 / clock:.3g} us at {clock:g} MHz"
        )
    return spec


def _check_positive(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{what} must be a positive number, not {value!r}")


def _most_cycles(estimate: float, meets: Callable[[int], bool]) -> int:
    """The largest number of cycles that ``meets`` a limit; rounding may have put ``estimate`` on its wrong side."""
    cycles = max(math.floor(min(estimate, MAX_CYCLES)), 1)
    if cycles > 1 and not meets(cycles):
        return cycles - 1
    return cycles + 1 if cycles < MAX_CYCLES and meets(cycles + 1) else cycles
