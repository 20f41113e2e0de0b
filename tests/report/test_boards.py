"""``flow boards``: one line a board, or all of one board with the source of every number."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow.board import Board, list_boards, load_board
from flow.report.boards import WIDTH, board_json, board_text, boards_table
from flow.resources import RESOURCE_NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
BOARDS = [load_board(name) for name in list_boards()]


def test_the_table_has_a_line_for_each_board() -> None:
    head, rule, *lines = boards_table(BOARDS).splitlines()
    assert re.split(r"  +", head) == [
        "board", "part", "LUT", "FF", "BRAM18", "URAM", "DSP", "usable LUT", "clock", "toolchain",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines] == list_boards()
    assert all(len(line) <= WIDTH for line in (head, rule, *lines))
    pynq = next(line for line in lines if line.startswith("pynq-z2"))
    assert pynq.split() == (
        ["pynq-z2", "xc7z020clg400-1", "53,200", "106,400", "280", "0", "220", "32,890", "100", "vivado"]
    )


def test_an_unknown_amount_is_a_question_mark_in_table_and_text(tmp_path: Path) -> None:
    text = (REPOSITORY / "boards" / "pynq-z2.yaml").read_text(encoding="utf-8").replace("dsp: 220", "dsp: null")
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    board = load_board(str(path))
    assert boards_table([board]).splitlines()[2].split()[6] == "?"
    (line,) = re.findall(r"^DSP .*$", board_text(board), re.MULTILINE)
    assert line.split() == ["DSP", "?", "[6]", "0.8", "[7]", "0", "[8]", "?"]
    assert board_json(board)["budget"]["dsp"] is None


@pytest.mark.parametrize("board", BOARDS, ids=list_boards())
def test_every_number_of_a_board_stands_beside_its_source(board: Board) -> None:
    text, _, listed = board_text(board).partition("\n\nsources\n")
    sources = dict(re.findall(r"\[(\d+)\] (.*?)(?=\n *\[\d+\] |\Z)", listed, re.DOTALL))
    plain = {number: " ".join(source.split()) for number, source in sources.items()}
    assert set(plain.values()) <= set(board.sources.values())
    assert set(re.findall(r"\[(\d+)\]", text)) == set(plain)
    for name in RESOURCE_NAMES:
        (line,) = re.findall(rf"^{name.upper()} .*$", text, re.MULTILINE)
        marks = [plain[mark] for mark in re.findall(r"\[(\d+)\]", line)]
        assert marks == [board.sources[f"{group}.{name}"] for group in ("capacity", "headroom", "shell")]
    assert all(len(line) <= WIDTH for line in board_text(board).splitlines())


def test_a_board_in_full_says_how_its_clock_is_made() -> None:
    text = board_text(load_board("zcu104"))
    assert re.search(r"^clock +100 MHz by default \[\d+\]$", text, re.MULTILINE)
    assert re.search(r"^ +made by zynqmp, 0.378 to 400 MHz \[\d+\]$", text, re.MULTILINE)
    assert re.search(r"^ +pll 1500 MHz \[\d+\]$", text, re.MULTILINE)


@pytest.mark.parametrize("board", BOARDS, ids=list_boards())
def test_the_json_of_a_board_has_all_of_it(board: Board) -> None:
    data = json.loads(json.dumps(board_json(board), allow_nan=False))
    assert data["budget"] == board.budget.to_dict()
    assert data["sources"] == board.sources
    assert data["clock"]["least_mhz"] <= data["clock"]["default_mhz"] <= data["clock"]["max_mhz"]
    assert (data["name"], data["part"], data["ps"]) == (board.name, board.part, board.ps)


def flow(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "flow", "boards", *arguments]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_flow_boards_prints_the_table_the_board_and_json() -> None:
    assert flow().stdout == boards_table(BOARDS) + "\n"
    assert flow("kv260").stdout == board_text(load_board("kv260")) + "\n"
    assert json.loads(flow("--json").stdout) == [board_json(board) for board in BOARDS]
    assert json.loads(flow("kv260", "--json").stdout) == board_json(load_board("kv260"))


def test_flow_boards_with_an_unknown_name_is_wrong_input() -> None:
    done = flow("pynqz2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "flow: error: unknown board 'pynqz2': did you mean pynq-z2 or pynq-z1?\n"


def test_flow_boards_answers_in_half_a_second_of_processor_time() -> None:
    # Processor time, not time on the clock: other programs on the machine must not fail this test.
    def used() -> float:
        return sum(os.times()[2:4])

    flow()
    start, clock = used(), time.monotonic()
    flow()
    assert min(used() - start, time.monotonic() - clock) < 0.5
