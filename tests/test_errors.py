"""Errors: one clear line, the right exit code, and the names the user may have meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import (
    FlowError,
    InputError,
    MissingDependency,
    NothingFeasible,
    ToolError,
    nearest,
    unknown_name,
)

BOARDS = ("pynq-z2", "zybo-z7-20", "icebreaker", "ULX3S")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NothingFeasible("x"), 1),
        (InputError("x"), 2),
        (ToolError("x"), 3),
        (MissingDependency("keras", "search"), 3),
        (FlowError("x"), 3),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: FlowError, code: int) -> None:
    assert isinstance(error, FlowError)
    assert error.exit_code == code


def test_a_missing_package_comes_with_a_command_that_a_shell_takes_as_it_is() -> None:
    text = str(MissingDependency("hls4ml", "hls"))
    assert text == "hls4ml is not installed: install it with `pip install 'fpga-nas-flow[hls]'`"


@pytest.mark.parametrize(
    ("name", "offer"),
    [
        ("pynq", "did you mean pynq-z2?"),
        ("PYNQ-Z2", "did you mean pynq-z2?"),
        ("ulx3s", "did you mean ULX3S?"),
        ("zybo", "did you mean zybo-z7-20?"),
        ("qwertyuiop", "known: ULX3S, icebreaker, pynq-z2, zybo-z7-20"),
        ("", "known: ULX3S, icebreaker, pynq-z2, zybo-z7-20"),
    ],
)
def test_an_unknown_name_offers_the_nearest_or_all(name: str, offer: str) -> None:
    assert nearest(name, BOARDS) == offer
    error = unknown_name("board", name, BOARDS)
    assert str(error) == f"unknown board {name!r}: {offer}"
    assert error.exit_code == 2


def test_the_dashes_of_options_are_no_likeness() -> None:
    assert nearest("--bord", ["--board", "--seed", "--runs"], prefix="--") == "did you mean --board?"
    assert nearest("--qqq", ["--seed", "--board"], prefix="--") == "known: --board, --seed"


def test_where_nothing_is_known_there_is_nothing_to_offer() -> None:
    assert str(unknown_name("run", "x", [])) == "unknown run 'x': there are none"


@given(name=st.text(), known=st.lists(st.text("abc-", min_size=1), max_size=5))
def test_any_name_gets_one_line(name: str, known: list[str]) -> None:
    text = str(unknown_name("board", name, known))
    assert text.isprintable()
    if name in known:
        assert name in text
