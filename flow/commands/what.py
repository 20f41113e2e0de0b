"""What the argument WHAT of ``flow convert``, ``synth`` and ``verify`` names: a winner, a model file or a project.

Nothing is loaded here but the run's own small files: a mistake is told before a framework is imported.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.commands.common import RUNS
from flow.errors import InputError, nearest

if TYPE_CHECKING:
    from flow.implement.implementation import Implementation
    from flow.network.fixed import FixedFormat
    from flow.report.run_view import RunView
    from flow.resources import Measurement, Resources
    from flow.space.candidate import Candidate

HELP = (
    "a winner (w3, of --run; or RUN:w3), any candidate by its digest, a run (its best winner that fits), "
    "or a model file NAME.keras (default: the best winner of the latest run)"
)
PROJECT_HELP = HELP.replace("or a model file", "a model file").replace(
    "NAME.keras", "NAME.keras, or the folder of an HLS project"
)
"""The same where a written project will do as well."""

_WINNER = re.compile(r"w\d{1,5}")
_DIGEST = re.compile(r"[0-9a-f]{6,16}")


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a winner comes from: its run, its id (None for a candidate that did not win), and what the run says.

    ``board``: the run's, a name or a file. ``spec``: the limits as ``run.yaml`` has them, ``budget`` their resources.
    """

    run: Path
    winner: str | None
    digest: str
    candidate: Candidate
    implementation: Implementation
    board: str
    part: str
    dataset: str
    fingerprint: str | None
    spec: Mapping[str, Any]
    budget: Resources
    predicted: Measurement | None


@dataclass(frozen=True, eq=False)
class What:
    """One thing to convert, synthesize or verify: a winner (``origin``), a model file, or a written project's folder.

    ``text`` is what messages call it; ``model`` is the .keras file, None for a project.
    """

    text: str
    model: Path | None
    origin: Origin | None = field(default=None, repr=False)
    project: Path | None = None

    @property
    def input_format(self) -> FixedFormat | None:
        """The format of its inputs, None where nothing says it."""
        return None if self.origin is None else self.origin.candidate.input_format


def arguments(parser: argparse.ArgumentParser, help_text: str = HELP) -> None:
    """The arguments that say what is meant."""
    parser.add_argument("what", nargs="?", help=help_text)
    parser.add_argument("--run", help="the run whose winner is meant (default: the latest)")
    parser.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")


def resolve(text: str | None, *, run: str | None = None, runs: Path = Path(RUNS), every: bool = False) -> list[What]:
    """What is meant; ``every``: all winners of the run that is named. Raises InputError, or NothingFeasible for a run
    without winners."""
    if text is not None and not every:
        path = Path(text)
        if path.suffix == ".keras":
            return [What(text, path)]
        if path.suffix.lower() in (".h5", ".hdf5", ".pb", ".onnx", ".pt", ".json", ".npz"):
            raise InputError(f"{path}: only .keras files are read; save the model with model.save('NAME.keras')")
        if (path / "project.tcl").is_file():
            return [What(text, None, project=path)]
    name, wanted = _split(text, run)
    return _of_run(name, wanted, runs, every)


def _split(text: str | None, run: str | None) -> tuple[str, str | None]:
    """(run, winner or digest) that ``text`` and ``--run`` stand for."""
    if text is None:
        return run or "latest", None
    if ":" in text:
        name, _, wanted = text.rpartition(":")
        named = name or "latest"
    elif _WINNER.fullmatch(text) or _DIGEST.fullmatch(text):
        named, wanted = run or "latest", text
    else:
        named, wanted = text, None
    if run is not None and named != run:
        raise InputError(f"{text!r} names run {named!r}, but --run says {run!r}: name one run")
    return named, wanted or None


def _of_run(name: str, wanted: str | None, runs: Path, every: bool) -> list[What]:
    from flow.report.run_view import load_run
    from flow.search.store import find_run

    try:
        path = find_run(runs, name)
    except InputError as error:
        if os.sep in name or Path(name).exists():
            raise InputError(f"{name} is no .keras file, no HLS project (project.tcl) and no run (run.yaml)") from error
        raise
    if path.is_symlink():  # latest: what is written later must not move with it
        path = path.parent / os.readlink(path)
    view = load_run(path)
    if wanted is not None and every:
        raise InputError(f"--all takes the winners of a run, not {wanted}: name the run alone")
    if every:
        if not view.winners:
            _best(view, path)  # says why
        return [_winner(view, path, winner.id) for winner in view.winners]
    return [_winner(view, path, wanted or _best(view, path))]


def _best(view: RunView, path: Path) -> str:
    """The winner of highest validation accuracy that fits the run's board."""
    from flow.bitstream.subject import best_winner
    from flow.board import load_board

    return best_winner(view, load_board(_board_of(view))).id


def _board_of(view: RunView) -> str:
    """The board of a run as it was given: a name, or the path of a file."""
    asked = view.settings.get("asked")
    given = asked.get("board") if isinstance(asked, Mapping) else None
    return given if isinstance(given, str) else view.board


def _winner(view: RunView, path: Path, wanted: str) -> What:
    from flow.fileio import read_json
    from flow.implement.implementation import Implementation

    name = None
    for winner in view.winners:
        if winner.id == wanted or (len(wanted) >= 6 and winner.digest.startswith(wanted)):
            name, digest, candidate = winner.id, winner.digest, winner.candidate
            measurements, raw = winner.measurements, winner.implementation
            break
    else:
        found = [e for e in view.evaluations if len(wanted) >= 6 and e.digest.startswith(wanted)]
        if len(found) != 1:
            known = [w.id for w in view.winners]
            why = "several candidates have this digest" if found else nearest(wanted, known)
            raise InputError(f"run {view.name} has no winner or candidate {wanted!r}: {why}")
        digest, candidate, measurements = found[0].digest, found[0].candidate, found[0].measurements
        file = path / "candidates" / digest / "evaluation.json"
        raw = read_json(file, "evaluation").get("implementation")
    model = path / "candidates" / digest / "model.keras"
    text = f"{view.name}:{name or digest}"
    if not model.is_file():
        why = "it was trained briefly only" if name is None else "it was deleted: resume the run to train it again"
        raise InputError(f"{text} has no model, {model} is missing: {why}")
    dataset = view.settings.get("dataset")
    fingerprint = dataset.get("fingerprint") if isinstance(dataset, Mapping) else None
    origin = Origin(
        run=path, winner=name, digest=digest, candidate=candidate,
        implementation=Implementation.from_dict(raw, f"{text}: implementation"), board=_board_of(view), part=view.part,
        dataset=view.dataset, fingerprint=fingerprint if isinstance(fingerprint, str) else None, spec=view.spec,
        budget=view.budget, predicted=next((m for m in reversed(measurements) if m.source == "predicted"), None),
    )  # fmt: skip
    return What(text, model, origin)
