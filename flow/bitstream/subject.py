"""What a bitstream is to be made of: a winner of a run, a model or a network in a file, or an HLS project.

The best winner is the one of highest validation accuracy among those whose measurement fits the board; of equal ones
the one with fewest LUTs. The test split plays no part in the choice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.board import Board, load_board
from flow.errors import InputError, NothingFeasible, nearest
from flow.fileio import read_yaml
from flow.network.quantized import QuantizedNetwork
from flow.spec import DEFAULT_FPS

if TYPE_CHECKING:
    from flow.hls.project import HlsProject
    from flow.implement.implementation import Implementation
    from flow.network.datasets import Dataset
    from flow.report.run_view import RunView, Winner


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to build, with what is known of it.

    ``name`` and ``digest`` make up the names of files. ``model`` is its Keras model if there is one;
    ``implementation`` how the search wants it built with HLS; ``project`` a written HLS project. ``fps``: inferences a
    second that it must reach. ``clock_mhz``: the clock it was made for, None for the board's default. ``folder``: where
    its projects go by default. ``winner``: the entry of winners.json.
    """

    name: str
    network: QuantizedNetwork
    board: Board
    folder: Path
    fps: float = DEFAULT_FPS
    clock_mhz: float | None = None
    requested_mhz: float | None = None
    model: Path | None = None
    implementation: Implementation | None = None
    project: HlsProject | None = None
    dataset: Dataset | None = None
    winner: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} on {self.board.title}"


@dataclass(frozen=True)
class Asked:
    """What the user gave; None where nothing was given."""

    what: str | None = None
    board: str | None = None
    run: str = "latest"
    runs: Path = Path("runs")
    dataset: str | None = None
    input_format: str | None = None
    fps: float | None = None


def find_subject(asked: Asked) -> Subject:
    """The subject that is meant. Raises InputError, or NothingFeasible if a run has no winner that fits."""
    what = asked.what
    if what is not None and (Path(what).suffix in (".keras", ".npz") or "/" in what or Path(what).is_dir()):
        return _from_path(Path(what), asked)
    return _from_run(what, asked)


def _from_path(path: Path, asked: Asked) -> Subject:
    if asked.board is None:
        raise InputError(f"which board is {path} for? give --board; `flow boards` lists them")
    board = load_board(asked.board)
    dataset = _dataset(asked.dataset)
    fps = DEFAULT_FPS if asked.fps is None else asked.fps
    folder = Path("bitstream")
    if path.is_dir():
        from flow.hls.project import open_project

        project = open_project(path)
        return Subject(
            project.name, project.network, board, folder, fps, project.manifest["clock_mhz"],
            project=project, dataset=dataset,
        )  # fmt: skip
    name = safe_name(path.stem)
    if path.suffix == ".npz":
        from flow.network.quantized_io import load

        return Subject(name, load(path), board, folder, fps, dataset=dataset)
    network = _quantize(path, dataset, asked.input_format)
    return Subject(name, network, board, folder, fps, model=path, dataset=dataset)


def _from_run(wanted: str | None, asked: Asked) -> Subject:
    from flow.implement.implementation import Implementation
    from flow.report.run_view import load_run
    from flow.search.store import find_run

    if asked.run == "latest" and not any(asked.runs.glob("*/run.yaml")):
        raise InputError(
            f"there is no run in {asked.runs} yet whose winner could be built: run "
            f"`make search BOARD={asked.board or 'NAME'}` first, or give a model (.keras)"
        )
    path = find_run(asked.runs, asked.run)
    view = load_run(path)
    board = load_board(asked.board or _board_of(path, view))
    winner = best_winner(view, board) if wanted is None else _winner(view, wanted)
    folder = path / "candidates" / winner.digest
    model = folder / "model.keras"
    dataset = _dataset(asked.dataset or view.dataset)
    saved = folder / "quantized.npz"
    if saved.is_file():
        from flow.network.quantized_io import load

        network = load(saved)
    elif model.is_file():
        network = _quantize(model, dataset, None)
    else:
        raise InputError(f"{winner.id} of {path} has no model: {model} is missing; resume the run to train it again")
    minimum = view.spec.get("min_throughput_per_s")
    fps = asked.fps if asked.fps is not None else float(minimum) if minimum else DEFAULT_FPS
    same_board = board.name == view.board
    return Subject(
        name=f"{winner.id}-{winner.digest[:8]}",
        network=network,
        board=board,
        folder=path / "bitstream",
        fps=fps,
        clock_mhz=winner.clock_mhz if same_board else None,
        requested_mhz=view.spec.get("requested_clock_mhz") if same_board else None,
        model=model if model.is_file() else None,
        implementation=Implementation.from_dict(winner.implementation, f"{path}: {winner.id}"),
        dataset=dataset,
        winner=winner.raw,
    )


def best_winner(view: RunView, board: Board) -> Winner:
    """The winner of highest validation accuracy that fits ``board``. Raises NothingFeasible if there is none."""
    if not view.winners:
        raise NothingFeasible(f"run {view.name} has no winner: {view.diagnosis or 'search on with --resume'}")
    fitting = [w for w in view.winners if not _over(w, board)]
    if not fitting:
        raise NothingFeasible(f"no winner of run {view.name} fits board {board.name}: search for that board")
    return min(fitting, key=lambda w: (-(w.validation or 0.0), _luts(w), w.id))


def _over(winner: Winner, board: Board) -> bool:
    """Whether the last measurement of a winner needs more than the board has beside its shell."""
    return bool(winner.measurements and winner.measurements[-1].resources.exceeds(board.available))


def _luts(winner: Winner) -> float:
    used = winner.measurements[-1].resources.lut if winner.measurements else None
    return float("inf") if used is None else float(used)


def _winner(view: RunView, wanted: str) -> Winner:
    for winner in view.winners:
        if wanted in (winner.id, winner.digest) or (len(wanted) >= 6 and winner.digest.startswith(wanted)):
            return winner
    raise InputError(f"run {view.name} has no winner {wanted!r}: {nearest(wanted, [w.id for w in view.winners])}")


def _board_of(path: Path, view: RunView) -> str:
    """The board of a run as it was given: a name, or the path of a file."""
    given = read_yaml(path / "run.yaml", "run settings").get("asked", {}).get("board")
    return given if isinstance(given, str) else view.board


def _dataset(name: str | None) -> Dataset | None:
    from flow.network.datasets import load_dataset

    return None if name is None else load_dataset(name)


def _quantize(path: Path, dataset: Dataset | None, input_format: str | None) -> QuantizedNetwork:
    """The integers of a Keras model."""
    from flow.network.fixed import FixedFormat
    from flow.network.model_file import load_model
    from flow.network.quantized_keras import from_keras

    if input_format is not None:
        of = FixedFormat.parse(input_format)
    elif dataset is not None:
        of = dataset.info.input_format
    else:
        raise InputError(f"{path}: what are its inputs? give --dataset, or their format as --input 'ufixed<8,0>'")
    return from_keras(load_model(path), of)


def safe_name(text: str) -> str:
    """``text`` as a piece of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:40] or "network"
