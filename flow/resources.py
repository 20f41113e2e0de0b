"""FPGA resources and measurements of them.

Units: LUTs, flip-flops, whole RAMB18 blocks (not RAMB36 tiles), UltraRAM blocks and DSP slices.
``None`` means unknown, which is not zero: it is never printed as 0 and it spreads through sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeGuard, get_args

from flow.errors import InputError

RESOURCE_NAMES = ("lut", "ff", "bram18", "uram", "dsp")
"""Names of the resources, in the order every table and vector uses."""

Source = Literal["predicted", "hls", "synthesized", "routed"]
"""Where a number comes from; numbers of different sources are never mixed unsaid."""

SOURCES: tuple[Source, ...] = get_args(Source)

MAX_AMOUNT = 1e12
"""Largest amount accepted from a file: a hundred thousand times the LUTs of the largest part there is."""

MAX_CLOCK_MHZ = 1e5
"""Highest clock accepted from a file: no FPGA reaches a hundredth of it."""


@dataclass(frozen=True)
class Resources:
    """Amounts of FPGA resources; ``None`` is unknown. Units: see the module."""

    lut: float | None = None
    ff: float | None = None
    bram18: float | None = None
    uram: float | None = None
    dsp: float | None = None

    def __iter__(self) -> Iterator[tuple[str, float | None]]:
        return ((name, getattr(self, name)) for name in RESOURCE_NAMES)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            **{name: None if a is None or b is None else a + b for (name, a), (_, b) in zip(self, other, strict=True)}
        )

    def __sub__(self, other: Resources) -> Resources:
        return self + other.scaled(dict.fromkeys(RESOURCE_NAMES, -1.0))

    def scaled(self, factors: Mapping[str, float]) -> Resources:
        """Each amount times its factor; a resource without a factor stays as it is."""
        return Resources(**{n: None if v is None else v * factors.get(n, 1.0) for n, v in self})

    def exceeds(self, budget: Resources) -> dict[str, float]:
        """The resources over ``budget`` with the amount they are over by; unknown on either side is not over."""
        return {
            n: v - b for (n, v), (_, b) in zip(self, budget, strict=True) if v is not None and b is not None and v > b
        }

    def utilisation(self, budget: Resources) -> dict[str, float]:
        """Share of ``budget`` used per known resource; ``inf`` where something is used of a budget of zero."""
        shares = {}
        for (n, v), (_, b) in zip(self, budget, strict=True):
            if v is not None and b is not None:
                shares[n] = v / b if b > 0 else (float("inf") if v > 0 else 0.0)
        return shares

    def to_dict(self) -> dict[str, float | None]:
        """Plain dictionary in the fixed order, for JSON."""
        return dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "resources") -> Resources:
        """Inverse of :meth:`to_dict`. Raises InputError on unknown keys, negative or non-numeric amounts."""
        for name, value in data.items():
            if name not in RESOURCE_NAMES:
                raise InputError(f"{where}: unknown resource {name!r}, known: {', '.join(RESOURCE_NAMES)}")
            if value is not None and not (_is_number(value) and 0 <= value <= MAX_AMOUNT):
                raise InputError(f"{where}: {name} must be a number >= 0 and at most {MAX_AMOUNT:g}, not {value!r}")
        return cls(**data)


ZERO = Resources(0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Measurement:
    """Resources and timing of one design, with where they come from.

    ``low`` and ``high`` bound the resources where ``source`` is ``predicted``; ``note`` says how far they can be
    trusted. ``latency_cycles`` is the first input to the last output of one inference, ``interval_cycles`` the
    cycles between two inferences in steady state.
    """

    source: Source
    tool: str
    version: str
    part: str
    clock_mhz: float
    resources: Resources
    latency_cycles: int | None = None
    interval_cycles: int | None = None
    low: Resources = field(default_factory=Resources)
    high: Resources = field(default_factory=Resources)
    note: str = ""

    @property
    def throughput_per_s(self) -> float | None:
        """Inferences a second in steady state."""
        return None if self.interval_cycles is None else self.clock_mhz * 1e6 / self.interval_cycles

    @property
    def latency_us(self) -> float | None:
        """Latency of one inference in microseconds."""
        return None if self.latency_cycles is None else self.latency_cycles / self.clock_mhz

    def to_dict(self) -> dict[str, Any]:
        """JSON form: the resources at the top level, as ``winners.json`` has them."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "resources":
                out.update(value.to_dict())
            else:
                out[f.name] = value.to_dict() if isinstance(value, Resources) else value
        return out

    @classmethod
    def from_dict(cls, data: Any, where: str = "measurement") -> Measurement:
        """Inverse of :meth:`to_dict`; ``low``, ``high``, ``note`` and unknown amounts may be left out.

        Raises InputError naming ``where`` and the field.
        """
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: expected a mapping of fields, found {type(data).__name__}")
        names = {f.name for f in fields(cls)} - {"resources"} | set(RESOURCE_NAMES)
        for name in data:
            if name not in names:
                raise InputError(f"{where}: unknown field {name!r}")
        if data.get("source") not in SOURCES:
            raise InputError(f"{where}: source must be one of {', '.join(SOURCES)}, not {data.get('source')!r}")
        for name in ("tool", "version", "part"):
            if not isinstance(data.get(name), str) or not data[name]:
                raise InputError(f"{where}: {name} must be a text, not {data.get(name)!r}")
        if not isinstance(data.get("note", ""), str):
            raise InputError(f"{where}: note must be a text, not {data['note']!r}")
        clock = data.get("clock_mhz")
        if not (_is_number(clock) and 0 < clock <= MAX_CLOCK_MHZ):
            raise InputError(f"{where}: clock_mhz must be a number above 0, not {clock!r}")
        for name in ("latency_cycles", "interval_cycles"):
            cycles = data.get(name)
            if cycles is not None and not (_is_number(cycles) and 1 <= cycles <= MAX_AMOUNT):
                raise InputError(f"{where}: {name} must be at least 1 or null, not {cycles!r}")
        low, high = (_bound(data.get(name), f"{where}: {name}") for name in ("low", "high"))
        rest = {n: v for n, v in data.items() if n not in RESOURCE_NAMES and n not in ("low", "high")}
        resources = Resources.from_dict({n: data.get(n) for n in RESOURCE_NAMES}, where)
        return cls(resources=resources, low=low, high=high, **rest)


def _bound(data: Any, where: str) -> Resources:
    if data is not None and not isinstance(data, Mapping):
        raise InputError(f"{where}: expected a mapping of amounts, found {type(data).__name__}")
    return Resources.from_dict(data or {}, where)


def _is_number(value: Any) -> TypeGuard[int | float]:
    """Whether ``value`` is a number that isn't NaN; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
