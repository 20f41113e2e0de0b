"""A failing tool's log is searched for what it really was."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow.toollog import SCAN_BYTES, examine, read_log


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device 'xc7k325t'.",
            "licence missing",
        ),
        ("@E [LIC-101] Checkout of license failed", "licence missing"),
        ("ERROR: License check-out failed for 'vivado_implementation'", "licence missing"),
        ("ERROR: [HLS 200-1023] Part 'xczu7ev-2ffvc1156' is not installed.", "part not installed"),
        (
            "ERROR: [HLS 200-1023] Part 'x' is not supported: unknown, not installed or without a license.",
            "part not installed",
        ),
        ("ERROR: [Coretcl 2-106] Specified part could not be found.", "part not installed"),
        (
            "ERROR: [Board 49-71] The board_part definition was not found for tul.com.tw:pynq-z2:part0:1.0.",
            "board files missing",
        ),
        (
            "bad lexical cast: source type value could not be interpreted as target",
            "export bug of 2022",
        ),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out of memory"),
        ("java.lang.OutOfMemoryError: Java heap space", "out of memory"),
        ("ERROR: [Common 17-49] write failed: No space left on device", "disk full"),
        ("Abnormal program termination (11)", "crash"),
        ("ERROR: Test failed", "co-simulation differs"),
        ('/opt/Vivado/bin/loader: line 312:  4711 Killed                  "$RDI_PROG" "$@"', "killed"),
        ("Killed", "killed"),
    ],
)
def test_a_message_of_the_tools_names_the_cause(line: str, cause: str) -> None:
    report = examine(["INFO: starting", line, "command 'ap_source' returned error code", "    while executing"])
    assert report.symptom is not None
    assert report.symptom.cause == cause
    assert report.symptom.hint
    assert report.message.startswith(" ".join(line.split())[:60])


@pytest.mark.parametrize(
    "line",
    [
        "INFO: [Common 17-349] Got license for feature 'Synthesis' and/or device 'xc7z020'",
        "WARNING: [Common 17-301] Failed to get a license: Internal_bitstream",
        "INFO: [Common 17-83] Releasing license: Synthesis",
        "INFO: [HLS 200-10] Setting target device to 'xc7z020-clg400-1'",
        "ERROR: [HLS 207-2976] use of undeclared identifier 'x'",
    ],
)
def test_other_messages_are_no_symptom(line: str) -> None:
    assert examine([line]).symptom is None


def test_the_first_error_counts_because_the_others_follow_from_it() -> None:
    lines = ["WARNING: a", "ERROR: [HLS 207-1] the cause", "ERROR: [HLS 200-70] Compilation errors found"]
    assert examine(lines).message == "ERROR: [HLS 207-1] the cause"


def test_a_long_or_dirty_line_becomes_one_short_line() -> None:
    report = examine(["ERROR: \x1b[31mred\x1b[0m \t" + "x" * 1000])
    assert len(report.message) == 240
    assert report.message.isprintable()


def test_the_tail_has_the_last_lines_that_are_not_blank() -> None:
    assert examine([str(i) for i in range(100)] + ["", "  "]).tail == tuple(str(i) for i in range(80, 100))


def test_only_the_end_of_a_huge_log_is_read_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"ERROR: long ago\n" + b"x" * SCAN_BYTES + b"\nERROR: now\n")
    assert read_log(log).message == "ERROR: now"
    assert read_log(tmp_path / "none").tail == ()
    log.write_bytes(b"ERROR: caf\xe9\n")
    assert read_log(log).message.startswith("ERROR: caf")
