"""Search spaces as text and JSON, and the plain tables everything is printed in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.report.spaces import space_dict, space_text, spaces_table
from flow.report.text import table
from flow.space.space import list_spaces, load_space


def test_the_table_has_a_line_for_each_space() -> None:
    spaces = [load_space(name) for name in list_spaces()]
    lines = spaces_table(spaces).splitlines()
    assert lines[0].split() == ["space", "decisions", "points", "what", "it", "is"]
    assert [line.split()[0] for line in lines[2:]] == list_spaces()
    tiny = next(line for line in lines if line.startswith("mlp-tiny "))
    space = load_space("mlp-tiny")
    assert tiny.split()[1:3] == [str(len(space.decisions)), f"{space.size:.1e}"]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", list_spaces())
def test_one_space_shows_every_decision_with_its_options(name: str) -> None:
    space = load_space(name)
    text = space_text(space)
    assert text.startswith(f"{name}: {space.file.title}\nsource: {space.file.source}\n")
    rows = {line.split()[0]: line for line in text.split("\n\n")[1].splitlines()[2:]}
    assert list(rows) == [d.name for d in space.decisions]
    for decision in space.decisions:
        assert rows[decision.name].count(", ") + (rows[decision.name].count("<")) >= len(decision.options) - 1
    data = json.loads(json.dumps(space_dict(space)))
    assert data["points"] == space.size
    assert [d["name"] for d in data["decisions"]] == list(rows)
    for decision, shown in zip(space.decisions, data["decisions"], strict=True):
        assert len(shown["options"]) == len(set(shown["options"])) == len(decision.options)
        assert all(option in rows[decision.name] for option in shown["options"])


def test_options_are_written_as_people_say_them() -> None:
    decisions = {d["name"]: d["options"] for d in space_dict(load_space("cnn-small"))["decisions"]}
    assert decisions["g0.0.kernel"] == ["1x1", "3x3", "5x5"]
    assert "fixed<4,1>" in decisions["g0.0.weight"]
    assert "4" in decisions["g0.0.units"]


cells = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9)


@given(data=st.data(), columns=st.integers(1, 5))
def test_columns_of_any_table_line_up(data: st.DataObject, columns: int) -> None:
    row = st.lists(cells, min_size=columns, max_size=columns)
    head, rows = data.draw(row), data.draw(st.lists(row, max_size=5))
    right = data.draw(st.sets(st.integers(0, columns - 1)))
    lines = table(head, rows, right).splitlines()
    assert [line.split() for line in (lines[0], *lines[2:])] == [head, *rows]
    spans = []
    start = 0
    for dashes in lines[1].split("  "):
        assert set(dashes) == {"-"}
        spans.append((start, start + len(dashes)))
        start += len(dashes) + 2
    for line, texts in zip((lines[0], *lines[2:]), (head, *rows), strict=True):
        assert line == line.rstrip()
        for i, (begin, end) in enumerate(spans):
            cell = line[begin:end]
            assert cell == (texts[i].rjust(end - begin) if i in right else texts[i].ljust(end - begin)[: len(cell)])
