"""The AMD tools are found where the user has them, with their release, and the wrong ones are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flow.errors import InputError, ToolError
from flow.hls.tools import VENDORS, Finder, Kind, Tool, check_release, release
from tests.hls.builder import FAKE_TOOLS, fake_finder

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Puts programs that must not be run below the test's folder, as an installer would; returns their folder."""

    def put(where: str, *kinds: str) -> Path:
        folder = tmp_path / where
        folder.mkdir(parents=True)
        for kind in kinds:
            (folder / kind).write_text("#!/bin/sh\nexit 9\n", encoding="ascii")
            (folder / kind).chmod(0o755)
        return folder

    return put


def on(*folders: Path) -> Finder:
    return Finder({"PATH": os.pathsep.join(map(str, folders))})


def test_the_release_is_that_of_the_installation_folder(install: Install) -> None:
    tool = on(install("Vivado/2020.1/bin", "vivado_hls")).find_hls("Vivado")
    assert (tool.kind, tool.version, tool.release) == ("vivado_hls", "2020.1", (2020, 1))


def test_a_tool_elsewhere_is_asked_for_its_release() -> None:
    tool = fake_finder({"FAKE_TOOL_VERSION": "2019.2"}).find(("vivado_hls",))
    assert tool == Tool("vivado_hls", FAKE_TOOLS / "vivado_hls", "2019.2")
    for kind in VENDORS:
        assert fake_finder().find((kind,)).release >= (2020, 1)


def test_a_tool_that_does_not_tell_its_release_is_refused(install: Install) -> None:
    folder = install("bin", "vivado")
    with pytest.raises(ToolError, match=r"cannot tell the version of .*vivado: `vivado -version` ended with"):
        on(folder).find(("vivado",))


def test_the_variable_of_the_set_up_script_is_enough(install: Install) -> None:
    folder = install("Vitis_HLS/2022.2/bin", "vitis_hls")
    tool = Finder({"PATH": os.devnull, "XILINX_HLS": str(folder.parent)}).find_hls("Vitis")
    assert (tool.kind, tool.version) == ("vitis_hls", "2022.2")


def test_in_one_installation_the_newer_command_is_used(install: Install) -> None:
    assert on(install("Vitis/2023.2/bin", "vitis_hls", "vitis-run")).find_hls("Vitis").kind == "vitis-run"


def test_the_installation_that_comes_first_on_path_is_used(install: Install) -> None:
    first, second = install("Vitis/2022.2/bin", "vitis_hls"), install("Vitis/2023.2/bin", "vitis-run")
    assert on(first, second).find_hls("Vitis").version == "2022.2"
    assert on(second, first).find_hls("Vitis").version == "2023.2"


def test_what_lies_in_the_current_folder_is_not_run(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(install("Vivado/2020.1/bin", "vivado_hls"))
    with pytest.raises(ToolError):
        Finder({"PATH": f"{os.pathsep}{os.devnull}"}).find(("vivado_hls",))


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (
            "Vivado",
            (
                "vivado_hls not found, neither on PATH nor in XILINX_VIVADO (not set), XILINX_HLS (/opt/hls): "
                "source Vivado's settings64.sh (2019.2 to 2020.1), or set XILINX_VIVADO"
            ),
        ),
        (
            "Vitis",
            (
                "vitis-run or vitis_hls not found, neither on PATH nor in XILINX_VITIS (not set), "
                "XILINX_HLS (/opt/hls): source Vitis' settings64.sh, or set XILINX_VITIS"
            ),
        ),
    ],
)
def test_a_missing_tool_says_where_it_was_looked_for_and_how_to_get_it(backend: str, message: str) -> None:
    with pytest.raises(ToolError) as caught:
        Finder({"PATH": os.devnull, "XILINX_HLS": "/opt/hls"}).find_hls(backend)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "version", "supported"),
    [
        ("vivado_hls", "2019.1", False),
        ("vivado_hls", "2019.2", True),
        ("vivado_hls", "2020.1.1", True),
        ("vitis_hls", "2021.2", False),
        ("vitis_hls", "2022.2", True),
        ("vitis_hls", "2024.2", True),
        ("vitis_hls", "2025.1", False),
        ("vitis-run", "2023.1", False),
        ("vitis-run", "2025.2", True),
        ("vivado", "2018.3", False),
        ("vivado", "2024.1", True),
    ],
)
def test_releases_that_projects_are_not_written_for_are_refused(kind: Kind, version: str, supported: bool) -> None:
    tool = Tool(kind, Path("/tools") / kind, version)
    if supported:
        check_release(tool)
        return
    with pytest.raises(ToolError, match=f"{kind} {version} .* is not supported: use 20"):
        check_release(tool)


def test_an_unsupported_tool_is_named_with_what_to_use(install: Install) -> None:
    folder = install("Vitis/2021.1/bin", "vitis_hls")
    with pytest.raises(ToolError) as caught:
        on(folder).find_hls("Vitis")
    assert str(caught.value) == (
        f"vitis_hls 2021.1 ({folder / 'vitis_hls'}) is not supported: use 2022.2 to 2024.2; "
        "source Vitis' settings64.sh, or set XILINX_HLS"
    )


def test_tool_names_a_program_or_an_installation(install: Install, tmp_path: Path) -> None:
    folder = install("Vitis/2023.2/bin", "vitis_hls", "vitis-run")
    for explicit in (folder / "vitis_hls", folder, folder.parent):
        tool = Finder({"PATH": os.devnull}, str(explicit)).find_hls("Vitis")
        assert tool.version == "2023.2"
    assert Finder({}, str(folder / "vitis_hls")).find_hls("Vitis").kind == "vitis_hls"
    on_path = Finder({"PATH": str(folder)}, "vitis_hls").find_hls("Vitis")
    assert on_path.path == folder / "vitis_hls"
    with pytest.raises(InputError, match=f"there is no tool {tmp_path / 'none'}"):
        Finder({}, str(tmp_path / "none")).find_hls("Vitis")
    with pytest.raises(InputError, match="has no vivado_hls, neither in it nor in its bin/"):
        Finder({}, str(folder.parent)).find_hls("Vivado")
    with pytest.raises(InputError, match="is vitis_hls, but this needs vivado_hls"):
        Finder({}, str(folder / "vitis_hls")).find_hls("Vivado")


def test_tool_must_name_a_tool_we_know_and_may_run(install: Install, tmp_path: Path) -> None:
    other = install("other", "gcc") / "gcc"
    with pytest.raises(InputError, match="is none of the known tools: vivado_hls, vitis_hls, vitis-run, vivado"):
        Finder({}, str(other)).find_hls("Vivado")
    plain = tmp_path / "vivado_hls"
    shutil.copy(other, plain)
    plain.chmod(0o644)
    with pytest.raises(ToolError, match="vivado_hls is not executable"):
        Finder({}, str(plain)).find_hls("Vivado")


def test_an_hls_tool_as_tool_leaves_vivado_to_path(install: Install) -> None:
    hls = install("Vivado/2020.1/bin", "vivado_hls", "vivado") / "vivado_hls"
    finder = Finder({"PATH": str(hls.parent)}, str(hls))
    assert finder.find_vivado().path == hls.parent / "vivado"


@pytest.mark.parametrize("version", ["", "1.0", "v2020.1", "2020", "2020.1-rc", "2020.x"])
def test_a_version_that_is_no_release_is_refused(version: str) -> None:
    with pytest.raises(ToolError, match="is not a release of an AMD tool"):
        release(version)


def test_every_tool_is_called_with_a_list_of_arguments() -> None:
    calls = {kind: Tool(kind, Path("/t") / kind, "2023.2").script_argv("a b.tcl") for kind in VENDORS}
    assert calls["vivado_hls"] == ["/t/vivado_hls", "-f", "a b.tcl"]
    assert calls["vitis_hls"] == ["/t/vitis_hls", "-f", "a b.tcl"]
    assert calls["vitis-run"] == ["/t/vitis-run", "--mode", "hls", "--tcl", "a b.tcl"]
    assert calls["vivado"][-2:] == ["-source", "a b.tcl"]
    vivado = Tool("vivado", Path("/t/vivado"), "2023.2").script_argv("x.tcl", ["top", "1"])
    assert vivado[-3:] == ["-tclargs", "top", "1"]
    with pytest.raises(ToolError, match="vitis_hls passes no arguments on to a script: a=1"):
        Tool("vitis_hls", Path("/t/vitis_hls"), "2023.2").script_argv("x.tcl", ["a=1"])
