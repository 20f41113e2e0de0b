"""Files: what a user's YAML and JSON may do to us, and that a write is all or nothing."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow.errors import InputError, ToolError
from flow.fileio import data_dir, read_json, read_text, read_yaml, write_atomic, write_json

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def message(read: Any, path: Path) -> str:
    """What a reader complains about; always one line that names the file."""
    with pytest.raises(InputError) as caught:
        read(path, "settings")
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text.replace(str(path), path.name)


def sound(read: Any, path: Path) -> bool:
    """Whether the file is read, or refused in one line that names it."""
    try:
        value = read(path, "value")
    except InputError as error:
        return str(path) in str(error) and "\n" not in str(error)
    return read is not read_yaml or isinstance(value, dict)


# Reading


@same_folder
@given(value=st.dictionaries(st.text(max_size=6), plain, max_size=4))
def test_what_was_written_is_read_back(value: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", "value") == value
    write_atomic(tmp_path / "a.yaml", yaml.safe_dump(value))
    assert read_yaml(tmp_path / "a.yaml", "value") == value


def test_a_file_with_a_byte_order_mark_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path, "value") == {"a": 1}


def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert message(read_text, path) == "cannot read settings a.txt: No such file or directory"
    path.mkdir()
    assert message(read_text, path) == "cannot read settings a.txt: Is a directory"
    path.rmdir()
    path.write_bytes(b"caf\xe9")
    assert message(read_text, path) == "cannot read settings a.txt: not UTF-8 text"
    with pytest.raises(InputError, match=r"cannot read settings 'a\\x00b': not a file name"):
        read_text(Path("a\0b"), "settings")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2\n", "a.yaml:2: not valid YAML"),
        ("a: 1\nb: {c: 1,\n  c: 2}\n", "a.yaml:3: field 'c' is there twice"),
        ("- 1\n", "a.yaml: expected a mapping of fields, found list"),
        ("", "a.yaml: expected a mapping of fields, found NoneType"),
        ("just text", "a.yaml: expected a mapping of fields, found str"),
        ("a: &x {b: *x}", "a.yaml:1: nested too deeply"),
        ("a: " + "[" * 200 + "]" * 200, "nested too deeply"),
        ("a: " + "[" * 200_000, "a.yaml:1: not valid YAML"),
        ("a: 0x" + "f" * 9000, "a.yaml:1: this number is too long"),
        ("a: !!int x", "a.yaml: not valid YAML: a value is not of its type"),
        ("a: !!bool x", "a.yaml: not valid YAML: a value is not of its type"),
        ("a: !!timestamp x", "a.yaml: not valid YAML: a value is not of its type"),
        ("a: 2001-99-99", "a.yaml: not valid YAML: a value is not of its type"),
        ("a: !!python/object/apply:os.getpid []", "a.yaml:1: not valid YAML: could not determine a constructor"),
        ("a: \x07", "a.yaml: not valid YAML"),
    ],
)
def test_a_bad_yaml_file_is_refused_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    assert problem in message(read_yaml, path)


def test_aliases_that_double_and_double_again_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "laughs.yaml"
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert "aliases make this file too large" in message(read_yaml, path)


def test_aliases_and_merges_as_people_use_them_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n1: a\n'1': b\n", encoding="utf-8")
    assert read_yaml(path, "value") == {"base": {"x": 1, "y": 2}, "mine": {"x": 1, "y": 3}, 1: "a", "1": "b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1,\n oops', "a.json:2: not valid JSON: Expecting property name"),
        ("", "a.json:1: not valid JSON: Expecting value"),
        ("[" * 100_000, "a.json: nested too deeply"),
        ("[" * 100 + "]" * 100, "a.json: nested too deeply"),
        ('{"a":' * 70 + "1" + "}" * 70, "a.json: nested too deeply"),
        ("9" * 5000, "a.json: not valid JSON: a number is too long"),
    ],
)
def test_a_bad_json_file_is_refused_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert message(read_json, path).startswith(problem)


YAML_BITS = [
    "a: ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&x ",
    "*x",
    "!!int ",
    "<<: ",
    "'",
    '"',
    "\n",
    "  ",
    "? ",
    "|",
    "2001-01-40",
    "0x",
]


@settings(parent=same_folder, max_examples=300)
@given(content=st.lists(st.sampled_from(YAML_BITS) | st.text(max_size=3), max_size=14).map("".join))
def test_any_yaml_text_is_a_mapping_or_an_input_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(content, encoding="utf-8", newline="")
    assert sound(read_yaml, path)


@same_folder
@given(content=st.binary(max_size=60))
def test_any_bytes_are_a_value_or_an_input_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(content)
    for read in (read_yaml, read_json, read_text):
        assert sound(read, path)


# Writing


def test_a_write_makes_the_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_atomic(path, "täxt")
    write_atomic(path, b"bytes")
    assert path.read_bytes() == b"bytes"
    assert [p.name for p in path.parent.iterdir()] == ["c.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_on_a_full_disk_the_old_content_stands(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "winners.json"
    write_json(path, {"old": True})
    monkeypatch.setattr(os, call, no_space)
    with pytest.raises(ToolError, match=r"cannot write .*winners\.json: No space left on device"):
        write_json(path, {"new": [1] * 1000})
    assert json.loads(path.read_text(encoding="utf-8")) == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["winners.json"]


def test_an_interrupt_leaves_no_half_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", "content")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.html" / "x").mkdir(parents=True)
    with pytest.raises(ToolError, match=r"cannot write .*report\.html: Is a directory"):
        write_atomic(tmp_path / "report.html", "content")
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match=r"cannot write .*file/below: (Not a directory|File exists)"):
        write_atomic(tmp_path / "file" / "below", "content")


def test_json_has_no_words_for_infinity(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("inf")})
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_files_are_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert (data_dir("templates") / "report" / "report.html.j2").is_file()
