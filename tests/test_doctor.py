"""`flow doctor` finds what is there, says what is wrong, and answers fast."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from flow import doctor
from flow.doctor import (
    Package,
    Tool,
    check_package,
    check_python,
    check_tool,
    doctor_text,
    run_doctor,
    to_dict,
)

TOOL = Tool("frob", ("frob", "frob-ng"), "frobbing", "apt install frob", roots={"FROB_HOME": "bin"})
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Puts a shell script that acts as a tool below the test's folder."""

    def put(where: str, script: str) -> Path:
        path = tmp_path / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        return path.parent

    return put


def test_the_doctor_looks_for_everything_within_a_second(tmp_path: Path) -> None:
    start = time.perf_counter()
    checks = run_doctor(tmp_path, {"PATH": "/usr/bin:/bin"})
    seconds = time.perf_counter() - start
    names = {check.name for check in checks}
    assert {"python", "numpy", "tensorflow", "qkeras-v3", "make", "verilator", "yosys"} <= names
    assert {"nextpnr-ecp5", "nextpnr-ice40"} <= names
    assert {"vivado", "vitis_hls", "vivado_hls", "memory", "free disk"} <= names
    if not any(check.found for check in checks if check.name in {"vivado", "vitis_hls", "vivado_hls"}):
        assert seconds < 1
    assert all(check.hint for check in checks)


def test_the_python_that_runs_is_supported() -> None:
    check = check_python(sys.version_info[:3])
    assert check.ok
    assert check.version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0), (2, 7, 18)])
def test_another_python_is_a_problem(version: tuple[int, int, int]) -> None:
    check = check_python(version)
    assert not check.ok
    assert check.problem == "not a supported version: 3.11 to 3.13"


def test_a_package_is_found_by_its_metadata() -> None:
    check = check_package(Package("numpy", "everything"))
    assert check.ok
    assert check.version == metadata.version("numpy")


def test_a_missing_package_names_the_extra() -> None:
    check = check_package(Package("no-such-package", "nothing", "search"))
    assert (check.found, check.version, check.status) == (False, None, "missing")
    assert check.hint == "pip install 'fpga-nas-flow[search]'"


def test_a_rival_of_qkeras_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {check.name for check in doctor.check_rivals()}
    info = tmp_path / "hgq2-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hgq2\nVersion: 9.9\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (check,) = [check for check in doctor.check_rivals() if check.name not in before]
    assert (check.name, check.version, check.status) == ("hgq2", "9.9", "problem")
    assert "pip uninstall hgq2" in check.hint


def test_a_missing_tool_says_how_to_get_it(tmp_path: Path) -> None:
    check = check_tool(TOOL, {"PATH": str(tmp_path)})
    assert check.status == "missing"
    assert "frob: not found; apt install frob" in doctor_text([check])


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("Yosys 0.23 (git sha1 7ce5011c24b)", "0.23"),
        ("Verilator 5.048 2026-06-01 rev v5.048", "5.048"),
        ("g++ (Debian 12.2.0-14) 12.2.0", "12.2.0"),
        ("GNU Make 4.3", "4.3"),
        ('"nextpnr-ecp5" -- Next Generation Place and Route (Version 0.9-3-g1234)', "0.9"),
        ("Vivado v2020.1 (64-bit)", "2020.1"),
        ("Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v2023.2 (64-bit)", "2023.2"),
    ],
)
def test_a_version_is_read_from_what_the_tool_prints(install: Install, printed: str, version: str) -> None:
    folder = install("bin/frob", f"printf '%s\\n' '{printed}'")
    check = check_tool(TOOL, {"PATH": f"{folder}:/usr/bin:/bin"})
    assert (check.version, check.problem) == (version, "")


def test_a_tool_that_is_too_old_is_a_problem_unless_a_wheel_takes_its_place(install: Install) -> None:
    folder = install("bin/frob", "echo 'Frob 0.9 (git)'")
    old = replace(TOOL, least=(0, 23))
    check = check_tool(old, {"PATH": f"{folder}:/usr/bin:/bin"})
    assert check.status == "problem"
    assert check.problem == f"{folder}/frob is too old: 0.23 or later is needed"
    instead = check_tool(replace(old, wheels=("numpy",)), {"PATH": f"{folder}:/usr/bin:/bin"})
    assert (instead.version, instead.problem) == (f"{metadata.version('numpy')} (numpy)", "")


def test_the_vendor_variable_finds_a_tool_that_is_not_on_path(install: Install, tmp_path: Path) -> None:
    install("Frob/2023.2/bin/frob-ng", "echo never run; exit 1")
    check = check_tool(TOOL, {"PATH": os.devnull, "FROB_HOME": str(tmp_path / "Frob" / "2023.2")})
    assert check.ok
    assert check.version == "2023.2 (frob-ng)"


def test_a_tool_that_hangs_is_given_up_with_its_children(install: Install, tmp_path: Path) -> None:
    folder = install("bin/frob", f"sleep 60 & echo $! > '{tmp_path}/child'; wait")
    start = time.perf_counter()
    check = check_tool(TOOL, {"PATH": f"{folder}:/usr/bin:/bin"}, timeout_s=0.5)
    assert time.perf_counter() - start < 10
    assert check.status == "problem"
    assert check.problem == "`frob --version` did not answer within 0.5 s"
    child = int((tmp_path / "child").read_text(encoding="ascii"))
    assert gone(child)


def gone(pid: int) -> bool:
    """Whether a process has ended (or is only waiting to be reaped) within two seconds."""
    for _ in range(40):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'frob: command not found' >&2; exit 127", "`frob --version` ended with exit status 127"),
        ("echo welcome", "`frob --version` printed no version number"),
    ],
)
def test_a_broken_tool_is_not_reported_as_fine(install: Install, script: str, problem: str) -> None:
    folder = install("bin/frob", script)
    check = check_tool(TOOL, {"PATH": f"{folder}:/usr/bin:/bin"})
    assert (check.found, check.ok, check.version, check.problem) == (True, False, None, problem)


def test_a_tool_for_another_machine_does_not_start(tmp_path: Path) -> None:
    program = tmp_path / "frob"
    program.write_bytes(b"\x7fELF not really")
    program.chmod(0o755)
    check = check_tool(TOOL, {"PATH": str(tmp_path)})
    assert check.problem.startswith("`frob --version` does not start: ")


def test_too_little_memory_is_a_problem() -> None:
    assert doctor.check_memory(1.5).problem == "a search needs up to 4 GiB"
    assert doctor.check_memory(4.0).ok


def test_a_folder_that_is_not_there_has_no_free_disk(tmp_path: Path) -> None:
    check = doctor.check_disk(tmp_path / "absent")
    assert check.status == "problem"
    assert "No such file or directory" in check.problem
    assert doctor.check_disk(tmp_path).found


def test_the_table_lines_up_and_the_json_says_the_same(tmp_path: Path) -> None:
    checks = run_doctor(tmp_path, {"PATH": str(tmp_path)})
    lines = doctor_text(checks).splitlines()
    column = lines[0].index("needed for")
    for line, check in zip(lines[1:], checks, strict=False):
        assert line.startswith(check.name)
        assert line[column:] == check.needed_for
    value = json.loads(json.dumps(to_dict(checks)))
    assert [entry["name"] for entry in value["checks"]] == [check.name for check in checks]
    assert value["ok"] is not any(check.problem for check in checks)
    compiler = next(entry for entry in value["checks"] if entry["name"] == "C++ compiler")
    assert (compiler["found"], compiler["status"], compiler["version"]) == (False, "missing", None)
