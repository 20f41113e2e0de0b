"""The projects of four boards, file by file, against the ones kept in ``golden/``.

``FLOW_REGENERATE_GOLDEN=1 pytest tests/bitstream/test_golden.py`` writes them anew: look at the difference before it is
committed. The network itself (Verilog, C++, weights, vectors) and what is copied from the repository as it is (scripts,
shells, the host program) are not kept; ``FILES`` lists them, and of what each is a copy.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flow.bitstream.make import Options, plan_bitstream
from flow.bitstream.plan import BitstreamPlan
from flow.bitstream.project import Design
from tests.bitstream.builder import hls_project, subject

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).resolve().parents[2]
REGENERATE = os.environ.get("FLOW_REGENERATE_GOLDEN") == "1"
BOARDS = {
    "pynq-z2": Options(backend="rtl"),
    "zcu104": Options(backend="hls", clock_mhz=200, ila=True),  # the board makes 187.5 MHz of it
    "arty-a7-35t": Options(backend="rtl", clock_mhz=80),
    "alveo-u50": Options(backend="rtl", ila=True),
}
COPIES = ("vivado_scripts", "flow/bitstream/host", "templates/shell", "templates/rtl")


def emitted(board: str, folder: Path) -> tuple[BitstreamPlan, Design]:
    options = BOARDS[board]
    project = hls_project(folder / "network", board, 187.5) if options.backend == "hls" else None
    return plan_bitstream(subject(board, project=project), options)


def original(path: str, content: bytes) -> str | None:
    """The file of the repository that a file of a project is a copy of."""
    places = (ROOT / folder / Path(path).name for folder in COPIES)
    found = next((place for place in places if place.is_file() and place.read_bytes() == content), None)
    return None if found is None else found.relative_to(ROOT).as_posix()


def kept(plan: BitstreamPlan, design: Design) -> dict[str, str]:
    """The files worth reading in a review, and the list of all, with what they are copies of."""
    network = {f"rtl/{path}" for path in (design.accelerator.plan.files if design.accelerator.plan else ())}
    texts, listed = {}, []
    for path, content in plan.files.items():
        source = original(path, content)
        listed.append(path if source is None else f"{path} = {source}")
        if source is None and path not in network and not path.startswith("hls/firmware/") and path[-4:] != ".npz":
            # The design's id changes with every line of the network's Verilog.
            texts[path] = content.decode().replace(design.accelerator.id, "DESIGN-ID")
    return {**texts, "FILES": "\n".join(listed) + "\n"}


@pytest.mark.parametrize("board", BOARDS)
def test_the_project_is_the_one_that_is_kept(board: str, tmp_path: Path) -> None:
    folder = GOLDEN / board
    found = kept(*emitted(board, tmp_path))
    if REGENERATE:
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in found.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(found)
    for path, text in found.items():
        assert text == (folder / path).read_text(encoding="utf-8"), f"{path}: see the head of this file"


def test_a_plan_says_the_same_every_time_and_depends_on_no_folder(tmp_path: Path) -> None:
    for board in BOARDS:
        first, _ = emitted(board, tmp_path / "a" / board)
        second, _ = emitted(board, tmp_path / "b" / board)
        assert (first.digest, list(first.files)) == (second.digest, list(second.files))
        assert not [path for path, content in first.files.items() if str(tmp_path).encode() in content]
