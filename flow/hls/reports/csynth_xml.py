"""``csynth.xml`` and ``TOP_csynth.xml`` of Vivado HLS and Vitis HLS: the form of the estimate made for programs.

The XML comes from a tool's run folder, which may be anyone's: document types are refused, so no entity is ever
expanded or fetched, and the size is limited.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.parsers import expat

from flow.errors import InputError
from flow.hls.part import canonical_part
from flow.hls.reports.model import HlsEstimate, Origin
from flow.hls.reports.text import Text, decimal, ordered, period, whole
from flow.resources import Resources

MAX_XML_BYTES = 32 * 2**20
"""Largest csynth.xml that is parsed; those of designs with thousands of ports have about 2 MB."""

MAX_DEPTH, MAX_ELEMENTS = 64, 1_000_000
"""Limits of the tree: a csynth.xml is 6 deep, and has 10 elements a port."""


@dataclass(frozen=True)
class _Element:
    """One element with what an error about it names."""

    text: Text
    element: ET.Element
    name: str

    def child(self, tag: str) -> _Element:
        """The one child ``tag``. Raises InputError if it is missing or there twice."""
        found = self.optional(tag)
        if found is None:
            raise self.text.error(f"no <{tag}> in <{self.name}>: the report is incomplete or of another kind")
        return found

    def optional(self, tag: str) -> _Element | None:
        """The one child ``tag``, None if there is none. Raises InputError if it is there twice."""
        found = self.element.findall(tag)
        if len(found) > 1:
            raise self.text.error(f"<{tag}> is there {len(found)} times in <{self.name}>")
        return _Element(self.text, found[0], tag) if found else None

    def word(self, tag: str) -> str:
        """The text of child ``tag``. Raises InputError if it is empty."""
        value = " ".join((self.child(tag).element.text or "").split())
        if not value:
            raise self.text.error(f"<{tag}> is empty")
        return value

    def line(self, tag: str) -> int:
        """The index of the first line that opens ``tag``: what an error about its value names."""
        return self.text.index(rf"\s*<{re.escape(tag)}>") or 0

    def whole(self, tag: str) -> int | None:
        """The count in child ``tag``."""
        return whole(self.text, self.word(tag), f"<{tag}>", self.line(tag))

    def decimal(self, tag: str) -> float | None:
        """The number in child ``tag``."""
        return decimal(self.text, self.word(tag), f"<{tag}>", self.line(tag))


def read_csynth_xml(text: Text, data: bytes) -> HlsEstimate:
    """The estimate in a csynth XML report. Raises InputError if it is damaged, incomplete or something else."""
    root = _Element(text, _parse(text, data), "profile")
    user = root.child("UserAssignments")
    if (unit := user.word("unit")) != "ns":
        raise text.error(f"clock periods in {unit!r}, expected ns", user.line("unit"))
    performance = root.child("PerformanceEstimates")
    timing = performance.child("SummaryOfTimingAnalysis")
    latency = performance.child("SummaryOfOverallLatency")
    if (unit := latency.word("unit")) != "clock cycles":
        raise text.error(f"latencies in {unit!r}, expected clock cycles")
    area = root.child("AreaEstimates")
    used = area.child("Resources")
    dsp = _dsp_tag(used)
    origin = Origin(
        "csynth xml",
        str(text.path),
        # The file does not name its tool, but only Vivado HLS counts DSP48E; Vitis HLS, 2020.1 included, has DSP.
        "Vivado HLS" if dsp == "DSP48E" else "Vitis HLS",
        root.child("ReportVersion").word("Version"),
        canonical_part(user.word("Part")),
        user.word("TopModelName"),
    )
    pipeline = performance.optional("PipelineType")
    return HlsEstimate(
        origin,
        _resources(used, dsp),
        _resources(area.child("AvailableResources"), dsp),
        period(text, user.word("TargetClockPeriod"), "<TargetClockPeriod>", user.line("TargetClockPeriod")),
        timing.decimal("EstimatedClockPeriod"),
        user.decimal("ClockUncertainty") if user.optional("ClockUncertainty") else None,
        _range(latency, "Best-caseLatency", "Worst-caseLatency", "latency"),
        _range(latency, "Interval-min", "Interval-max", "interval"),
        "" if pipeline is None else (pipeline.element.text or "").strip(),
    )


def _parse(text: Text, data: bytes) -> ET.Element:
    """The root element <profile>. Raises InputError for anything that is not such a document."""
    if len(data) > MAX_XML_BYTES:
        raise text.error(f"{len(data) / 2**20:.0f} MiB is too large for a csynth.xml")
    try:
        _check(data)
        root = ET.fromstring(data)  # noqa: S314 - _check refuses what makes that dangerous
    except _Refused as error:
        raise text.error(f"{error}: refused") from None
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError) as error:
        line = getattr(error, "lineno", None) or getattr(error, "position", (1,))[0]
        raise text.error(f"not valid XML: {error}", line - 1) from error
    if root.tag != "profile":
        raise InputError(f"{text.path}: an XML file with root <{root.tag[:40]}>, not a csynth report")
    return root


class _Refused(Exception):
    """What no csynth.xml has and a hostile one may."""


def _check(data: bytes) -> None:
    """Raises _Refused for document types, entities, deep nesting and millions of elements.

    The parser itself looks for them, before a tree is built: searching the text would miss other encodings.
    """
    depth = count = 0

    def refuse(*_: object) -> None:
        raise _Refused("has a document type or entities, which no csynth.xml has")

    def start(*_: object) -> None:
        nonlocal depth, count
        depth += 1
        count += 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise _Refused("has more elements than any csynth.xml")

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    checker = expat.ParserCreate()
    checker.StartDoctypeDeclHandler = refuse
    checker.EntityDeclHandler = refuse
    checker.StartElementHandler = start
    checker.EndElementHandler = end
    checker.Parse(data, True)


def _dsp_tag(used: _Element) -> str:
    """The tag that counts DSP slices. Raises InputError unless there is exactly one."""
    tags = [tag for tag in ("DSP48E", "DSP") if used.optional(tag)]
    if len(tags) != 1:
        raise used.text.error("neither DSP nor DSP48E in <Resources>" if not tags else "both DSP and DSP48E")
    return tags[0]


def _resources(element: _Element, dsp: str) -> Resources:
    """The counts in <Resources> or <AvailableResources>; URAM is None where the release does not count it."""
    return Resources(
        lut=element.whole("LUT"),
        ff=element.whole("FF"),
        bram18=element.whole("BRAM_18K"),
        uram=element.whole("URAM") if element.optional("URAM") else None,
        dsp=element.whole(dsp),
    )


def _range(element: _Element, least: str, most: str, what: str) -> tuple[int | None, int | None]:
    return ordered(element.text, element.whole(least), element.whole(most), what, element.line(least))
