"""Reports of every kind are read with the right numbers in the right units, and damaged ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flow.errors import InputError
from flow.hls.reports import Cosim, HlsEstimate, IntelEstimate, Power, Timing, Utilization, read_report
from flow.resources import Resources

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "reports"


def read(name: str) -> Any:
    return read_report(GOLDEN / name)


def write(folder: Path, text: str, name: str = "report.rpt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# Estimates of the HLS tools


@pytest.mark.parametrize(
    ("name", "tool", "version", "part", "resources"),
    [
        (
            "csynth_vivado_2020.1.xml",
            "Vivado HLS",
            "2020.1",
            "xc7z020clg400-1",
            Resources(9871, 7184, 5, 0, 148),
        ),
        (
            "csynth_vivado_2020.1.rpt",
            "Vivado HLS",
            "2020.1",
            "xc7z020clg400-1",
            Resources(9871, 7184, 5, 0, 148),
        ),
        (
            "csynth_vivado_2018.3.xml",
            "Vivado HLS",
            "2018.3",
            "xc7z007sclg225-1",
            Resources(8352, 4857, 124, None, 9),
        ),
        (
            "csynth_vivado_2018.3.rpt",
            "Vivado HLS",
            "2018.3",
            "xc7z007sclg225-1",
            Resources(8352, 4857, 124, None, 9),
        ),
        (
            "csynth_vitis_2024.2.xml",
            "Vitis HLS",
            "2024.2",
            "xczu7ev-ffvc1156-2-e",
            Resources(116697, 24238, 8, 16, 2557),
        ),
        (
            "csynth_vitis_2024.2.rpt",
            "Vitis HLS",
            "2024.2",
            "xczu7ev-ffvc1156-2-e",
            Resources(116697, 24238, 8, 16, 2557),
        ),
        (
            "csynth_summary_vitis_2024.2.rpt",
            "Vitis HLS",
            "2024.2",
            "xczu7ev-ffvc1156-2-e",
            Resources(116697, 24238, 8, 16, 2557),
        ),
    ],
)
def test_an_estimate_has_its_resources_tool_release_and_part(
    name: str, tool: str, version: str, part: str, resources: Resources
) -> None:
    report = read(name)
    assert isinstance(report, HlsEstimate)
    assert (report.origin.tool, report.origin.version, report.origin.part) == (tool, version, part)
    assert report.resources == resources


@pytest.mark.parametrize("name", ["csynth_vivado_2018.3.xml", "csynth_vivado_2018.3.rpt"])
def test_least_and_most_cycles_are_kept_apart_and_the_worst_is_measured(name: str) -> None:
    report = read(name)
    assert report.latency == (2521531, 7004283)
    assert report.interval == (949549, 2917349)
    measured = report.measurement()
    assert (measured.source, measured.latency_cycles, measured.interval_cycles) == ("hls", 7004283, 2917349)
    assert measured.clock_mhz == pytest.approx(200.0)


def test_the_available_amounts_are_those_of_the_whole_device_not_of_one_die() -> None:
    assert read("csynth_vitis_2024.2.rpt").available == Resources(230400, 460800, 624, 96, 1728)


def test_a_latency_the_tool_does_not_know_is_unknown_not_zero() -> None:
    report = read("csynth_vitis_2024.2.xml")
    assert report.latency == report.interval == (None, None)
    assert report.measurement().latency_us is None


@pytest.mark.parametrize("unknown", ["?", "-", "undef"])
@pytest.mark.parametrize("name", ["csynth_vivado_2020.1.xml", "csynth_vivado_2020.1.rpt"])
def test_every_way_to_write_an_unknown_latency_is_understood(name: str, unknown: str, tmp_path: Path) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    text = text.replace("<Worst-caseLatency>41<", f"<Worst-caseLatency>{unknown}<")
    text = text.replace("|       37|       41|", f"|       37|{unknown:>9}|")
    assert read_report(write(tmp_path, text)).latency == (37, None)  # type: ignore[union-attr]


def test_a_clock_that_is_not_met_is_measured_as_what_is_reached(tmp_path: Path) -> None:
    text = (GOLDEN / "csynth_vivado_2020.1.xml").read_text(encoding="utf-8")
    report = read_report(write(tmp_path, text.replace(">3.650<", ">7.289<")))
    assert isinstance(report, HlsEstimate)
    assert report.meets_clock is False
    measured = report.measurement()
    assert measured.clock_mhz == pytest.approx(1000 / 7.289)
    assert measured.note == "the clock of 5 ns is not met: estimated 7.289 ns"


def test_the_summary_has_no_clock_so_a_measurement_needs_one() -> None:
    report = read("csynth_summary_vitis_2024.2.rpt")
    with pytest.raises(InputError, match="the report does not say its clock"):
        report.measurement()
    assert report.measurement(clock_mhz=200.0).interval_cycles == 1


def test_a_dash_in_the_summary_is_unknown(tmp_path: Path) -> None:
    text = (GOLDEN / "csynth_summary_vitis_2024.2.rpt").read_text(encoding="utf-8")
    report = read_report(write(tmp_path, text.replace(" 16 (16%)|", "        -|")))
    assert isinstance(report, HlsEstimate)
    assert (report.resources.uram, report.resources.dsp) == (None, 2557)


def test_a_summary_of_another_release_may_end_after_its_ports(tmp_path: Path) -> None:
    text = (GOLDEN / "csynth_summary_vitis_2024.2.rpt").read_text(encoding="utf-8")
    path = write(tmp_path, text + "\n== M_AXI Burst Information\n")
    assert read_report(path).resources.lut == 116697  # type: ignore[union-attr]


def test_hls4mls_own_report_is_read_but_does_not_say_where_it_is_from() -> None:
    report = read("hls4ml_vitis_2024.1.json")
    assert report.resources == Resources(75414, 33151, 3, 1, 792)
    assert (report.latency, report.interval) == ((52, 54), (53, 55))
    with pytest.raises(InputError, match="does not say its part"):
        report.measurement()
    measured = report.measurement(version="2024.1", part="xcu250-figd2104-2L-e")
    assert (measured.version, measured.interval_cycles) == ("2024.1", 55)


def test_intels_resources_stay_apart() -> None:
    report = read("hls4ml_oneapi_2025.0.json")
    assert isinstance(report, IntelEstimate)
    assert (report.alut, report.registers, report.m20k, report.dsp, report.mlab) == (413, 299, 6, 0, 2)


# Vivado


@pytest.mark.parametrize(
    ("name", "state", "source", "resources"),
    [
        (
            "utilization_7series_synthesized_2020.1.rpt",
            "Synthesized",
            "synthesized",
            Resources(5755, 6526, 137, None, 94),
        ),
        (
            "utilization_7series_placed_2022.2.rpt",
            "Fully Placed",
            "routed",
            Resources(5312, 6490, 59, None, 94),
        ),
        (
            "utilization_usp_routed_2023.1.rpt",
            "Routed",
            "routed",
            Resources(61234, 20111, 7, 12, 1500),
        ),
        (
            "utilization_hierarchical_2022.2.rpt",
            "Fully Routed",
            "routed",
            Resources(60739, 61079, 239, 32, 75),
        ),
    ],
)
def test_utilization_counts_whole_ramb18_and_says_how_far_the_design_was(
    name: str, state: str, source: str, resources: Resources
) -> None:
    report = read(name)
    assert isinstance(report, Utilization)
    assert (report.state, report.source, report.resources) == (state, source, resources)


def test_half_a_block_ram_tile_is_one_ramb18() -> None:
    report = read("utilization_7series_synthesized_2020.1.rpt")
    assert "| 68.5 |" in (GOLDEN / "utilization_7series_synthesized_2020.1.rpt").read_text(encoding="utf-8")
    assert (report.resources.bram18, report.available.bram18) == (137, 280)


def test_a_placed_design_is_measured_as_routed_with_a_note() -> None:
    measured = read("utilization_7series_placed_2022.2.rpt").measurement(200.0, interval_cycles=8)
    assert (measured.source, measured.note) == ("routed", "reported after placement, before routing")
    assert measured.throughput_per_s == pytest.approx(25e6)
    assert read("utilization_usp_routed_2023.1.rpt").measurement(200.0).note == ""


def test_a_state_we_do_not_know_is_not_guessed(tmp_path: Path) -> None:
    text = (GOLDEN / "utilization_usp_routed_2023.1.rpt").read_text(encoding="utf-8")
    report = read_report(write(tmp_path, text.replace("Design State : Routed", "Design State : Dreamt")))
    assert isinstance(report, Utilization)
    with pytest.raises(InputError, match="unknown design state 'Dreamt', known: Synthesized"):
        report.measurement(100.0)


def test_the_star_of_a_footnote_does_not_hide_a_row() -> None:
    text = (GOLDEN / "utilization_7series_synthesized_2020.1.rpt").read_text(encoding="utf-8")
    assert "| Slice LUTs*" in text


def test_a_report_without_block_ram_does_not_claim_there_is_none(tmp_path: Path) -> None:
    lines = (GOLDEN / "utilization_7series_synthesized_2020.1.rpt").read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines if not line.startswith("| Block RAM Tile")]
    report = read_report(write(tmp_path, "\n".join(kept)))
    assert isinstance(report, Utilization)
    assert (report.resources.bram18, report.resources.lut) == (None, 5755)


def test_a_met_timing_has_its_slacks_and_its_clock() -> None:
    report = read("timing_met_2020.1.rpt")
    assert isinstance(report, Timing)
    assert (report.met, report.wns_ns, report.tns_ns, report.whs_ns) == (True, 0.184, 0.0, 0.097)
    assert report.origin.part == "xc7z020clg400-1"
    clock = report.clock("ap_clk")
    assert (clock.period_ns, clock.wns_ns) == (5.0, 0.184)
    assert clock.reached_mhz == pytest.approx(1000 / 4.816)
    with pytest.raises(InputError, match="no clock 'clk', it has: ap_clk"):
        report.clock("clk")


def test_a_missed_timing_is_not_met() -> None:
    report = read("timing_missed_2020.1.rpt")
    assert (report.met, report.wns_ns, report.failing_endpoints) == (False, -0.463, 7)
    assert report.clock("ap_clk").reached_mhz == pytest.approx(1000 / 5.463)


def test_without_constraints_timing_is_neither_met_nor_missed() -> None:
    report = read("timing_unconstrained_2020.1.rpt")
    assert (report.met, report.wns_ns, report.whs_ns, report.clocks) == (None, None, None, ())


MET, MISSED = "All user specified timing constraints are met.", "Timing constraints are not met."


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("timing_missed_2020.1.rpt", MISSED, MET),
        ("timing_met_2020.1.rpt", MET, MISSED),
        ("timing_met_2020.1.rpt", "      0.184 ", "     -0.184 "),
    ],
)
def test_a_verdict_that_contradicts_the_slacks_is_refused(name: str, old: str, new: str, tmp_path: Path) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    with pytest.raises(InputError, match="constraints said to be"):
        read_report(write(tmp_path, text.replace(old, new)))


def test_power_is_in_watts_with_its_confidence() -> None:
    report = read("power_2022.2.rpt")
    assert isinstance(report, Power)
    assert (report.total_w, report.dynamic_w, report.static_w) == (1.795, 1.576, 0.219)
    assert (report.junction_c, report.confidence, report.state) == (45.6, "Medium", "routed")


def test_a_remark_behind_the_power_is_left_out(tmp_path: Path) -> None:
    text = (GOLDEN / "power_2022.2.rpt").read_text(encoding="utf-8")
    text = text.replace("| 1.795        |", "| 41.2 (Junction temp exceeded!) |").replace("| 45.6 ", "| 125.0*")
    report = read_report(write(tmp_path, text))
    assert isinstance(report, Power)
    assert (report.total_w, report.junction_c) == (41.2, 125.0)


@pytest.mark.parametrize(
    ("name", "passed", "interval"),
    [("cosim_pass_2020.1.rpt", True, (8, 12)), ("cosim_fail_2023.2.rpt", False, (None, None))],
)
def test_cosimulation_says_whether_it_passed(name: str, passed: bool, interval: tuple[int, int]) -> None:
    report = read(name)
    assert isinstance(report, Cosim)
    assert (report.language, report.passed, report.latency) == ("Verilog", passed, (37, 41))
    assert report.interval == interval


# What is no report


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the report is empty"),
        (b" \n\t\n", "the report is empty"),
        (b"\x7fELF\0\0\1", "binary data, not a report"),
        (b"hello\nworld\n", "not a report of Vivado"),
        (b"<html><body>404</body></html>", "an XML file with root <html>, not a csynth report"),
        (b"<profile><ReportVersion>", "not valid XML"),
        (b"<profile></profile>", "no <UserAssignments> in <profile>"),
        (b"{", "not valid JSON"),
        (b"{}", "JSON, but not a report of hls4ml"),
        (b"[1]", "JSON, but not a report of hls4ml"),
        (b'{"CSynthesisReport": {"LUT": "1", "LUT": "2"}}', "a key is there twice: LUT"),
        (b'{"CSynthesisReport": {"LUT": {}}}', "LUT is '{}', not a number"),
    ],
)
def test_a_file_that_is_no_report_gives_one_line_that_names_it(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.rpt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_report(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read report .*: No such file or directory"):
        read_report(tmp_path / "none.rpt")
    with pytest.raises(InputError, match="is a folder, not a report"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE profile [<!ENTITY a "b">]>',
        '<!DOCTYPE profile SYSTEM "file:///etc/passwd">',
        '<?xml version="1.0"?>\n<!DOCTYPE profile [<!ENTITY x SYSTEM "http://localhost/">]>',
    ],
)
def test_document_types_and_entities_are_refused(declaration: str, tmp_path: Path) -> None:
    text = (GOLDEN / "csynth_vivado_2020.1.xml").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"has a document type or entities, which no csynth\.xml has: refused"):
        read_report(write(tmp_path, declaration + text))


def test_a_document_type_in_another_encoding_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_bytes(b'<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE profile><profile/>')
    with pytest.raises(InputError, match="document type"):
        read_report(path)


def test_xml_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"more elements than any csynth\.xml"):
        read_report(write(tmp_path, "<profile>" * 1000))


def test_the_line_of_the_damage_is_named(tmp_path: Path) -> None:
    text = (GOLDEN / "csynth_vivado_2020.1.rpt").read_text(encoding="utf-8")
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("|Total"))
    lines[at] = lines[at].replace("9871", "98x1")
    path = write(tmp_path, "\n".join(lines))
    with pytest.raises(InputError) as caught:
        read_report(path)
    assert str(caught.value) == f"{path}:{at + 1}: lut is '98x1', not a whole number"


def test_columns_are_found_by_name_not_by_place(tmp_path: Path) -> None:
    """LUT and FF change places, as a new release might have them: the numbers still go where they belong."""
    lines = (GOLDEN / "csynth_vivado_2020.1.rpt").read_text(encoding="utf-8").split("\n")
    start = lines.index("== Utilization Estimates")
    for i in range(start, lines.index("+ Detail: ", start)):
        cells = lines[i].split("|" if lines[i].startswith("|") else "+")
        if len(cells) == 8:
            cells[4], cells[5] = cells[5], cells[4]
            lines[i] = lines[i][0].join(cells)
    report = read_report(write(tmp_path, "\n".join(lines)))
    assert isinstance(report, HlsEstimate)
    assert report.resources == Resources(9871, 7184, 5, 0, 148)


def test_lines_that_end_as_on_windows_are_read_the_same(tmp_path: Path) -> None:
    for path in GOLDEN.iterdir():
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        for attribute in ("resources", "wns_ns", "total_w", "passed", "alut"):
            one, other = read_report(copy), read_report(path)
            assert getattr(one, attribute, None) == getattr(other, attribute, None)
