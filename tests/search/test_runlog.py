"""The log of a run: whole lines only, whatever kills the process or fills the disk."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow.errors import InputError, ToolError
from flow.search.runlog import RunLog, read_events

EVENTS: list[dict[str, Any]] = [
    {"t": 0.0, "event": "start", "pid": 7},
    {"t": 1.5, "event": "done", "digest": "ab", "val_accuracy": 0.9},
    {"t": 2.25, "event": "failed", "error": 'killed: "out of memory"\n'},
]
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path: Path, events: list[dict[str, Any]]) -> None:
    log = RunLog(path)
    for event in events:
        more = {k: v for k, v in event.items() if k not in ("t", "event")}
        log.append(event["t"], event["event"], more)
    log.close()


def test_events_are_read_back_as_they_were_logged(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_events(path) == []
    write(path, EVENTS[:2])
    write(path, EVENTS[2:])
    assert read_events(path) == EVENTS
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def test_a_log_cut_anywhere_by_a_kill_loses_one_event_at_most(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, EVENTS)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        done = sum(end <= size for end in ends)
        seen = read_events(path)
        assert seen in (EVENTS[:done], EVENTS[: done + 1])  # a line that only lacks its end is whole
        RunLog(path).close()
        assert read_events(path) == EVENTS[:done]
        write(path, EVENTS[done:])
        assert read_events(path) == EVENTS


def test_an_event_behind_the_stump_of_another_still_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"t": 0.0, "event": "start"}\n{"t": 1.0, "ev{"t": 2.0, "event": "done"}\n', encoding="utf-8")
    assert [e["event"] for e in read_events(path)] == ["start", "done"]


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"t": "soon", "event": "x"}', '{"t": 1}', '{"t": 1e400, "event": "x"}']
)
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"t": 0, "event": "start"}}\n{line}\n{{"t": 3, "event": "end"}}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"log\.jsonl:2: not an event of a run log; delete this line"):
        read_events(path)


def test_a_log_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"cannot read run log .*not UTF-8 text; move it away"):
        read_events(path)


def test_a_log_in_a_folder_that_is_not_there_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"cannot write .*log\.jsonl: No such file or directory"):
        RunLog(tmp_path / "none" / "log.jsonl")


def test_a_full_disk_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    log = RunLog(tmp_path / "log.jsonl")
    with monkeypatch.context() as patch, open("/dev/full", "ab", buffering=0) as full:
        patch.setattr(log, "_file", full)
        with pytest.raises(ToolError, match=r"cannot write .*log\.jsonl: No space left on device"):
            log.append(1.0, "done", {})
    log.close()


class FillingUp:
    """A file on a disk that has room for ``room`` more bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count: int = self.file.write(data[: self.room])
        self.room -= count
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_disk_that_fills_up_leaves_no_half_line(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    write(path, EVENTS[:2])
    log = RunLog(path)
    with monkeypatch.context() as patch:
        patch.setattr(log, "_file", FillingUp(log._file, room))
        with pytest.raises(ToolError, match="No space left on device"):
            log.append(9.0, "done", {"digest": "cd" * 20})
    assert read_events(path) == EVENTS[:2]
    log.append(EVENTS[2]["t"], "failed", {"error": EVENTS[2]["error"]})  # somebody has made room
    log.close()
    assert read_events(path) == EVENTS


@settings(parent=same_folder, max_examples=200)
@given(data=st.data())
def test_any_damage_gives_events_or_an_input_error(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    write(path, EVENTS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        events = read_events(path)
    except InputError as error:
        problem = str(error)
        assert "log.jsonl" in problem
    else:
        assert all(isinstance(e["event"], str) and abs(e["t"]) < 1e12 for e in events)
