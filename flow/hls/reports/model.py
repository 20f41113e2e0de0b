"""What a report says, as values with units. ``None`` is unknown everywhere: it is never a zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flow.errors import InputError
from flow.resources import Measurement, Resources, Source

Kind = Literal["csynth xml", "csynth", "csynth summary", "hls4ml json", "utilization", "timing", "power", "cosim"]

STATES: dict[str, Source] = {
    "Synthesized": "synthesized",
    "Optimized": "synthesized",
    "Partially Placed": "synthesized",
    "Placed": "routed",
    "Fully Placed": "routed",
    "Physopt postPlace": "routed",
    "Routed": "routed",
    "Fully Routed": "routed",
}
"""Vivado's ``Design State`` to the source of a measurement. Placement fixes what is used: routing adds no resource
worth a budget, and most flows report utilization only there. :meth:`Utilization.measurement` notes the difference."""


@dataclass(frozen=True)
class Origin:
    """Which report of which tool about which design. Empty text: the report does not say."""

    kind: Kind
    path: str
    tool: str
    version: str
    part: str
    top: str


@dataclass(frozen=True)
class HlsEstimate:
    """An HLS tool's own estimate. Periods in ns, latency and interval in clock cycles.

    ``latency`` and ``interval`` are (least, most); ``interval`` is from one inference's start to the next one's.
    """

    origin: Origin
    resources: Resources
    available: Resources
    target_ns: float | None
    estimated_ns: float | None
    uncertainty_ns: float | None
    latency: tuple[int | None, int | None]
    interval: tuple[int | None, int | None]
    pipeline: str = ""

    @property
    def meets_clock(self) -> bool | None:
        """Whether the tool believes the design reaches the clock it was asked for."""
        if self.target_ns is None or self.estimated_ns is None:
            return None
        return self.estimated_ns <= self.target_ns

    def measurement(self, *, version: str = "", part: str = "", clock_mhz: float | None = None) -> Measurement:
        """The estimate as a measurement with the worst latency and interval.

        The clock is the target, or what the estimate can reach if that is slower. ``version``, ``part`` and
        ``clock_mhz`` fill in what the report leaves out; where the report has it, the report counts. Raises
        InputError if one of them is still missing.
        """
        note = ""
        if self.target_ns is not None:
            period = max(self.target_ns, self.estimated_ns or 0.0)
            clock_mhz = 1000 / period
            if not (self.meets_clock is None or self.meets_clock):
                note = f"the clock of {self.target_ns:g} ns is not met: estimated {self.estimated_ns:g} ns"
        part, version = self.origin.part or part, self.origin.version or version
        for value, what in ((clock_mhz, "clock"), (part, "part"), (version, "tool version")):
            if not value:
                raise InputError(f"{self.origin.path}: the report does not say its {what}")
        assert clock_mhz is not None
        return Measurement(
            source="hls",
            tool=self.origin.tool,
            version=version,
            part=part,
            clock_mhz=clock_mhz,
            resources=self.resources,
            latency_cycles=self.latency[1],
            interval_cycles=self.interval[1],
            note=note,
        )


@dataclass(frozen=True)
class Utilization:
    """What Vivado's netlist uses, and what the device has. ``state`` is Vivado's word: Synthesized, Routed, ..."""

    origin: Origin
    state: str
    resources: Resources
    available: Resources

    @property
    def source(self) -> Source:
        """Where the numbers come from. Raises InputError for a state that is none of :data:`STATES`."""
        if self.state not in STATES:
            raise InputError(f"{self.origin.path}: unknown design state {self.state!r}, known: {', '.join(STATES)}")
        return STATES[self.state]

    def measurement(
        self, clock_mhz: float, *, latency_cycles: int | None = None, interval_cycles: int | None = None
    ) -> Measurement:
        """A measurement at a clock that timing was (or is to be) met at; the report itself has neither."""
        note = ""
        if self.source == "routed" and "Routed" not in self.state:
            note = "reported after placement, before routing"
        return Measurement(
            source=self.source,
            tool=self.origin.tool,
            version=self.origin.version,
            part=self.origin.part,
            clock_mhz=clock_mhz,
            resources=self.resources,
            latency_cycles=latency_cycles,
            interval_cycles=interval_cycles,
            note=note,
        )


@dataclass(frozen=True)
class ClockTiming:
    """One clock: period and slacks in ns. None: the clock has no such path, or the report leaves it out."""

    name: str
    period_ns: float | None
    wns_ns: float | None
    tns_ns: float | None
    whs_ns: float | None
    wpws_ns: float | None

    @property
    def reached_mhz(self) -> float | None:
        """The frequency at which this clock's worst setup path would just be met."""
        if self.period_ns is None or self.wns_ns is None or self.period_ns <= self.wns_ns:
            return None
        return 1000 / (self.period_ns - self.wns_ns)


@dataclass(frozen=True)
class Timing:
    """A timing summary: worst and total negative slack of setup, hold and pulse width, in ns.

    ``met`` is Vivado's verdict; None where nothing was constrained, which is not a pass.
    """

    origin: Origin
    met: bool | None
    wns_ns: float | None
    tns_ns: float | None
    failing_endpoints: int | None
    whs_ns: float | None
    ths_ns: float | None
    wpws_ns: float | None
    tpws_ns: float | None
    clocks: tuple[ClockTiming, ...]

    def clock(self, name: str) -> ClockTiming:
        """The clock called ``name``. Raises InputError if the report has none."""
        for clock in self.clocks:
            if clock.name == name:
                return clock
        names = ", ".join(clock.name for clock in self.clocks) or "none"
        raise InputError(f"{self.origin.path}: no clock {name!r}, it has: {names}")


@dataclass(frozen=True)
class Power:
    """Vivado's power estimate in W, junction temperature in degrees C. ``confidence`` is Low, Medium or High."""

    origin: Origin
    state: str
    total_w: float
    dynamic_w: float
    static_w: float
    junction_c: float | None
    confidence: str


@dataclass(frozen=True)
class Cosim:
    """C/RTL co-simulation: whether the RTL computed what the C did, and the cycles it took (least, most)."""

    origin: Origin
    language: str
    passed: bool
    latency: tuple[int | None, int | None]
    interval: tuple[int | None, int | None]


@dataclass(frozen=True)
class IntelEstimate:
    """What hls4ml keeps of a oneAPI report. ALUTs and M20K blocks are not LUTs and RAMB18: no Measurement."""

    origin: Origin
    alut: int
    registers: int
    m20k: int
    dsp: int
    mlab: int
    worst_latency: float | None
    worst_interval: float | None
    worst_mhz: float | None


Report = HlsEstimate | Utilization | Timing | Power | Cosim | IntelEstimate
"""What :func:`flow.hls.reports.read_report` can return."""
