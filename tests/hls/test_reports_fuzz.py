"""However a report is damaged: one clear error, or the numbers that stand in it. Never others, never a crash."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flow.errors import InputError
from flow.hls.reports import HlsEstimate, Report, Utilization, read_report
from flow.resources import RESOURCE_NAMES

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "reports"
CONTENT = {path.name: path.read_bytes() for path in sorted(GOLDEN.iterdir())}
WHOLE = {name: read_report(GOLDEN / name) for name in CONTENT}
NAMES = st.sampled_from(sorted(CONTENT))
WITH_RESOURCES = st.sampled_from(
    [name for name, report in WHOLE.items() if isinstance(report, HlsEstimate | Utilization)]
)

ROWS = {
    "lut": (r"\| (?:Slice|CLB) LUTs", r"<LUT>", r'.*"LUT"'),
    "ff": (r"\| (?:Slice|CLB) Registers", r"<FF>", r'.*"FF"'),
    "bram18": (r"\| Block RAM Tile", r"<BRAM_18K>", r'.*"BRAM_18K"'),
    "uram": (r"\| URAM", r"<URAM>", r'.*"URAM"'),
    "dsp": (r"\| DSPs", r"<DSP(?:48E)?>", r'.*"DSP"'),
}
"""The first line that matches one of these has the amount used; in other reports one row has them all."""

ALL_IN_ONE = r"\|Total|\| jet_tagger|\s*\|\+ jet_tagger"


def read(data: bytes) -> Report | None:
    """The report, or None if it is refused with one line. Any other exception is a failure of the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report"
        path.write_bytes(data)
        try:
            return read_report(path)
        except InputError as error:
            message = str(error)
        assert "\n" not in message
        assert str(path) in message
        return None


def facts(report: Report) -> dict[str, Any]:
    """What a report says, without its path."""
    found = {key: value for key, value in vars(report).items() if key != "origin"}
    origin = report.origin
    return found | {"tool": (origin.kind, origin.tool, origin.version, origin.part, origin.top)}


def says_nothing_else(report: Report, whole: Report) -> None:
    """Every value is the one of the whole report, or unknown."""
    known = facts(whole)
    for key, value in facts(report).items():
        if key in ("resources", "available"):
            assert all(amount in (None, getattr(known[key], name)) for name, amount in value), key
        elif key in ("latency", "interval"):
            assert all(cycles in (None, old) for cycles, old in zip(value, known[key], strict=True)), key
        elif key == "clocks":
            for clock in value:
                old = next(other for other in known[key] if other.name == clock.name)
                assert all(v in (None, getattr(old, name)) for name, v in vars(clock).items())
        elif key == "tool":  # without the line of the speed grade, the part has none
            assert value[:3] == known[key][:3]
            assert known[key][3].startswith(value[3])
            assert value[4] == known[key][4]
        else:
            assert value in (known[key], None, ""), (key, value)


def rows_of(name: str, resource: str) -> int:
    """The index of the line that has the amount of a resource."""
    lines = CONTENT[name].decode().split("\n")
    for i, line in enumerate(lines):
        if re.match(ALL_IN_ONE, line) or any(re.match(pattern, line) for pattern in ROWS[resource]):
            return i
    return -1


@given(NAMES, st.floats(0, 1))
@settings(max_examples=400)
def test_a_report_that_was_cut_off_is_refused_or_complete(name: str, share: float) -> None:
    report = read(CONTENT[name][: int(len(CONTENT[name]) * share)])
    assert report is None or facts(report) == facts(WHOLE[name])


@given(NAMES, st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=600)
@example("csynth_vivado_2020.1.xml", [(0.0, 0)])
def test_flipped_bytes_never_crash_the_reader(name: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(CONTENT[name])
    for place, value in flips:
        data[int(place * len(data))] = value
    read(bytes(data))


@st.composite
def deletions(draw: st.DrawFn) -> tuple[str, set[int]]:
    """A report and some of its lines: a few ranges, and lines with amounts more often than others."""
    name = draw(WITH_RESOURCES)
    count = len(CONTENT[name].split(b"\n"))
    gone: set[int] = set()
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, count - 1))
        gone |= set(range(first, min(count, first + draw(st.integers(1, 12)))))
    for resource in draw(st.sets(st.sampled_from(RESOURCE_NAMES), max_size=2)):
        gone.add(rows_of(name, resource))
    return name, gone


@given(deletions())
@settings(max_examples=800)
def test_a_resource_whose_row_is_gone_has_no_value_and_no_other_gets_a_wrong_one(
    case: tuple[str, set[int]],
) -> None:
    name, gone = case
    lines = CONTENT[name].split(b"\n")
    report = read(b"\n".join(line for i, line in enumerate(lines) if i not in gone))
    if report is None:
        return
    original = WHOLE[name]
    assert isinstance(report, HlsEstimate | Utilization)
    assert isinstance(original, HlsEstimate | Utilization)
    for resource, value in report.resources:
        assert value in (None, getattr(original.resources, resource)), (resource, value)
        if rows_of(name, resource) in gone:
            assert value is None, (resource, value)


@given(NAMES, st.data())
@settings(max_examples=400)
def test_deleted_lines_leave_no_wrong_fact(name: str, data: st.DataObject) -> None:
    lines = CONTENT[name].split(b"\n")
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, min(len(lines) - 1, first + 20)))
    report = read(b"\n".join(lines[:first] + lines[last + 1 :]))
    if report is None:
        return
    says_nothing_else(report, WHOLE[name])


@given(NAMES, st.data())
@settings(max_examples=400)
def test_lines_that_are_there_twice_change_no_number(name: str, data: st.DataObject) -> None:
    lines = CONTENT[name].split(b"\n")
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, min(len(lines) - 1, first + 40)))
    at = data.draw(st.integers(0, len(lines)))
    report = read(b"\n".join(lines[:at] + lines[first : last + 1] + lines[at:]))
    if report is not None:
        says_nothing_else(report, WHOLE[name])


@given(NAMES, NAMES)
@settings(max_examples=150)
def test_of_two_reports_in_one_file_the_first_counts_or_none(one: str, other: str) -> None:
    report = read(CONTENT[one] + b"\n" + CONTENT[other])
    assert report is None or facts(report) == facts(WHOLE[one])
    if one == other:
        assert report is None or WHOLE[one].origin.kind == "cosim"


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_are_refused(data: bytes) -> None:
    assert read(data) is None


@given(st.text(alphabet="+-|=*<>{}[]\"':. \n0123456789profileTotalLUT", max_size=300))
@settings(max_examples=200)
def test_any_text_of_the_same_characters_is_refused(text: str) -> None:
    assert read(text.encode()) is None
