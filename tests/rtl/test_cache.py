"""Results of tools, kept by content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow.errors import ToolError
from flow.rtl.cache import Cache, default_cache, digest_of


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    store = Cache(tmp_path / "new")
    assert store.get("a") is None
    store.put("a", b"content")
    assert store.get("a") == b"content"
    assert Cache(tmp_path / "new").get("a") == b"content"


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 100])
def test_a_damaged_entry_counts_as_none(damage: bytes, tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.put("a", b"content")
    (path,) = tmp_path.glob("a*")
    path.write_bytes(damage)
    assert store.get("a") is None
    store.put("a", b"content")
    assert store.get("a") == b"content"


def test_a_changed_entry_counts_as_none(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.put("a", b"content")
    store.put("b", b"other")
    (a,), (b,) = tmp_path.glob("a*"), tmp_path.glob("b*")
    a.write_bytes(a.read_bytes()[:32] + b.read_bytes()[32:])
    assert store.get("a") is None


def test_the_folder_stays_below_its_limit_and_loses_what_was_not_used_for_longest(tmp_path: Path) -> None:
    size = 2000
    store = Cache(tmp_path, limit_bytes=3 * size)
    for age, key in enumerate("abc"):
        store.put(key, os.urandom(size - 100))
        (path,) = tmp_path.glob(f"{key}*")
        os.utime(path, (age + 1, age + 1))
    assert store.get("a") is not None  # used now
    store.put("d", os.urandom(size - 100))
    assert store.get("b") is None
    assert all(store.get(key) is not None for key in "acd")


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Cache(tmp_path / "file")
    store.put("a", b"content")
    assert store.get("a") is None
    with pytest.raises(ToolError, match=r"cannot make a folder in .*; set FLOW_CACHE to another"), store.work("x"):
        pass


def test_the_folder_of_a_run_goes_unless_it_failed(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    with store.work("good") as folder:
        (folder / "log").write_text("fine")
    assert not folder.exists()

    def fail() -> None:
        with store.work("bad") as folder:
            (folder / "log").write_text("why")
            raise ToolError("failed")

    with pytest.raises(ToolError, match="failed"):
        fail()
    (folder,) = (tmp_path / "work").iterdir()
    assert (folder / "log").read_text() == "why"
    # Long after, it goes as well.
    os.utime(folder, (1, 1))
    with store.work("next"):
        pass
    assert not folder.exists()


def test_the_users_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / "rtl"
    monkeypatch.delenv("FLOW_CACHE")
    assert default_cache() == Path("~/.cache/fpga-nas-flow/rtl").expanduser()


def test_a_digest_tells_where_texts_end() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("ab") == digest_of(b"ab")
