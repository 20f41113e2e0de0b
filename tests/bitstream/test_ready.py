"""What `flow doctor` says of each board is what a build would find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow import cli
from flow.bitstream.ready import boards_ready
from flow.board import list_boards, load_board
from flow.hls.tools import Finder
from tests.bitstream.builder import ALVEO, ARTIX, ZYNQ, fake_environment
from tests.hls.builder import FAKE_TOOLS


def ready(environment: dict[str, str]) -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, str]]:
    boards, problems = boards_ready([load_board(name) for name in list_boards()], Finder(environment))
    return {board.name: {str(k): v for k, v in board.missing.items()} for board in boards}, problems


def test_with_all_tools_every_board_can_be_built(tmp_path: Path) -> None:
    found, problems = ready(fake_environment())
    for board in (*ZYNQ, *ALVEO):
        assert found[board] == {"rtl": (), "hls": ()}
    for board in ARTIX:
        assert found[board] == {"rtl": ()}
    assert not problems.keys() & {"vivado", "v++", "HLS"}


def test_without_a_tool_each_board_names_what_it_lacks() -> None:
    found, problems = ready({"PATH": "/nowhere"})
    assert found["pynq-z2"] == {"rtl": ("vivado",), "hls": ("HLS", "vivado")}
    assert found["alveo-u50"] == {"rtl": ("vivado", "v++"), "hls": ("HLS", "v++")}
    assert found["arty-a7-35t"] == {"rtl": ("vivado",)}
    assert "source Vivado's settings64.sh" in problems["vivado"]
    assert "source Vitis' settings64.sh" in problems["v++"]


def test_vivado_alone_builds_our_verilog(tmp_path: Path) -> None:
    (tmp_path / "vivado").symlink_to(FAKE_TOOLS / "vivado")
    found, problems = ready({**fake_environment(), "PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert found["zcu104"] == {"rtl": (), "hls": ("HLS",)}
    assert "vivado" not in problems


def test_the_older_hls_tool_will_do(tmp_path: Path) -> None:
    (tmp_path / "vivado_hls").symlink_to(FAKE_TOOLS / "vivado_hls")
    found, _ = ready({**fake_environment(), "PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert found["zcu104"] == {"rtl": ("vivado",), "hls": ("vivado",)}


def test_a_release_that_is_not_supported_does_not_count() -> None:
    found, problems = ready(fake_environment(FAKE_TOOL_VERSION="2018.3"))
    assert found["pynq-z2"]["rtl"] == ("vivado",)
    assert "vivado 2018.3" in problems["vivado"]
    assert "use 2019.2 to 2025.x" in problems["vivado"]


def test_the_doctor_shows_the_boards(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "pynq-z2         no: vivado         no: HLS, vivado" in text
    assert "v++ not found: source Vitis' settings64.sh" in text
    assert cli.main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["bitstreams"]
    assert {entry["name"] for entry in said["boards"]} == set(list_boards())
    (pynq,) = [entry for entry in said["boards"] if entry["name"] == "pynq-z2"]
    assert pynq["backends"]["rtl"] == {"ready": False, "missing": ["vivado"]}
