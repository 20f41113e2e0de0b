"""Genuine reports, kept beside the clone: every one is read, and a sample against numbers looked up by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.errors import InputError
from flow.hls.reports import HlsEstimate, IntelEstimate, Timing, Utilization, read_report
from flow.resources import Resources

HANDMADE: dict[str, Resources] = {
    # Looked up in each file with an editor.
    "csynth_xml__2018.3__xc7z007sclg225": Resources(8349, 4852, 124, None, 9),
    "csynth_xml__2020.1__xc7z020": Resources(2532, 7969, 0, 0, 73),
    "csynth_xml__2022.2__xcu250": Resources(116694, 24233, 8, 0, 2557),
    "vitis_hls_csynth__2020.1__xc7z020": Resources(11935, 9052, 2, 0, 96),
    "vitis_hls_csynth__2022.2__xcu250": Resources(116694, 24233, 8, 0, 2557),
    "vivado_hls_csynth__2018.3__xc7z007sclg225": Resources(8349, 4852, 124, None, 9),
    "vivado_hls_csynth__2020.1__xc7z020": Resources(2532, 7969, 0, 0, 73),
    # The summary prints a dash for URAM where the other reports have 0.
    "vitis_csynth_summary__2022.2__xcu250": Resources(116694, 24233, 8, None, 2557),
    "utilization__2019.2__7a200t": Resources(1009, 920, 0, None, 0),
    "utilization__2019.2__7a35ti": Resources(8297, 5434, 59, None, 4),  # 29.5 tiles
    "utilization__2019.2__xcku3p": Resources(999, 920, 0, 0, 0),
    "utilization__2020.1__7z020c": Resources(5755, 6526, 2, None, 94),
}

SLACKS = {
    "timing_summary__2019.2__7a200t": (False, -3.463, -4.14, 0.097, 10, 1),
    "timing_summary__2019.2__7a35ti": (True, 0.248, 0.0, 0.033, 0, 11),
    "timing_summary__2019.2__xcku3p": (True, 0.184, 0.0, 0.033, 0, 1),
}


def one(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"{name}*")
    return path


@pytest.mark.parametrize("name", HANDMADE)
def test_a_real_report_has_the_resources_that_stand_in_it(name: str, shared_data: Path) -> None:
    report = read_report(one(shared_data / "reports", name))
    assert isinstance(report, HlsEstimate | Utilization)
    assert report.resources == HANDMADE[name]


@pytest.mark.parametrize("name", SLACKS)
def test_a_real_timing_summary_has_its_slacks(name: str, shared_data: Path) -> None:
    report = read_report(one(shared_data / "reports", name))
    assert isinstance(report, Timing)
    found = (report.met, report.wns_ns, report.tns_ns, report.whs_ns, report.failing_endpoints)
    assert (*found, len(report.clocks)) == SLACKS[name]


def test_generated_clocks_keep_their_own_periods(shared_data: Path) -> None:
    report = read_report(one(shared_data / "reports", "timing_summary__2019.2__7a35ti"))
    assert isinstance(report, Timing)
    clock = report.clock("main_crg_clkout1")
    assert (clock.period_ns, clock.wns_ns, clock.whs_ns, clock.wpws_ns) == (5.0, 2.066, 0.225, 2.0)
    assert report.clock("clk100").wns_ns is None


def test_every_real_report_is_read_and_named_as_its_manifest_says(shared_data: Path) -> None:
    rows = (shared_data / "reports" / "MANIFEST.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == 15
    for row in rows:
        name, kind, version, device, state, *_ = row.split(",")
        report = read_report(shared_data / "reports" / name)
        assert report.origin.version == version
        plain = device.replace("-", "").lower().removeprefix("xc")
        assert report.origin.part.replace("-", "").lower().removeprefix("xc").startswith(plain)
        assert report.origin.kind.split()[0] in kind
        if isinstance(report, Utilization):
            assert report.state == state


@pytest.mark.parametrize(
    ("xml_name", "rpt_name"),
    [
        ("csynth_xml__2018.3", "vivado_hls_csynth__2018.3"),
        ("csynth_xml__2020.1", "vivado_hls_csynth__2020.1"),
        ("csynth_xml__2022.2", "vitis_hls_csynth__2022.2"),
    ],
)
def test_the_estimate_of_one_design_is_the_same_in_both_forms(xml_name: str, rpt_name: str, shared_data: Path) -> None:
    xml, rpt = (read_report(one(shared_data / "reports", name)) for name in (xml_name, rpt_name))
    assert isinstance(xml, HlsEstimate)
    assert isinstance(rpt, HlsEstimate)
    fields = ("resources", "available", "latency", "interval", "target_ns", "estimated_ns", "uncertainty_ns")
    for field in fields:
        assert getattr(xml, field) == getattr(rpt, field), field
    assert xml.origin.part == rpt.origin.part


def test_an_estimate_slower_than_its_target_is_measured_as_such(shared_data: Path) -> None:
    report = read_report(one(shared_data / "reports", "vitis_hls_csynth__2020.1"))
    assert isinstance(report, HlsEstimate)
    measured = report.measurement()
    assert measured.clock_mhz == pytest.approx(1000 / 7.289)
    assert measured.latency_us == pytest.approx(0.576, abs=0.001)  # the report says 0.576 us itself


def test_every_baseline_of_hls4ml_is_read(shared_data: Path) -> None:
    folder = shared_data / "synthesis" / "hls4ml-baselines" / "test" / "pytest"
    amd = intel = 0
    for path in sorted((folder / "baselines").rglob("*.json")):
        report = read_report(path)
        data = json.loads(path.read_text(encoding="utf-8"))
        if "report" in data:
            assert isinstance(report, IntelEstimate)
            total = data["report"]["HLS"]["total"]
            assert (report.alut, report.m20k, report.mlab) == (total["alut"], total["ram"], total["mlab"])
            intel += 1
            continue
        assert isinstance(report, HlsEstimate)
        said = data["CSynthesisReport"]
        assert [report.resources.lut, report.resources.dsp] == [int(said["LUT"]), int(said["DSP"])]
        assert report.resources.bram18 == int(said["BRAM_18K"])
        assert report.interval == (int(said["IntervalMin"]), int(said["IntervalMax"]))
        amd += 1
    assert (amd, intel) == (60, 21)


def test_the_reports_of_hls4mls_own_test_project_are_read(shared_data: Path) -> None:
    folder = shared_data / "synthesis/hls4ml-baselines/test/pytest/test_report/Vivado"
    logic = read_report(folder / "vivado_synth.rpt")
    assert isinstance(logic, Utilization)
    assert (logic.state, logic.resources) == ("Synthesized", Resources(1526, 2428, 0, None, 66))
    for name in ("myproject_csynth.xml", "myproject_csynth.rpt"):
        report = read_report(folder / name)
        assert isinstance(report, HlsEstimate)
        assert report.resources == Resources(2532, 7969, 0, 0, 73)


def test_files_beside_the_reports_are_refused_with_one_line(shared_data: Path) -> None:
    folder = shared_data / "synthesis" / "hls4ml-baselines" / "test" / "pytest" / "test_report"
    others = [*folder.glob("oneAPI/*.ndjson"), *folder.glob("Vivado/*.app"), shared_data / "reports" / "MANIFEST.csv"]
    assert len(others) == 5
    for path in others:
        with pytest.raises(InputError) as caught:
            read_report(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_real_report_that_was_cut_off_is_refused(share: float, shared_data: Path, tmp_path: Path) -> None:
    for path in sorted((shared_data / "reports").iterdir()):
        if path.suffix not in (".xml", ".rpt"):
            continue
        data = path.read_bytes()
        # The long tails of these two, paths and operators, hold nothing that is read.
        needed = 3000 if path.name.startswith(("timing", "vitis_csynth")) else len(data)
        cut = tmp_path / path.name
        cut.write_bytes(data[: int(needed * share)])
        with pytest.raises(InputError):
            read_report(cut)
