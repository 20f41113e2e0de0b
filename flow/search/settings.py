"""SearchSettings: everything a run depends on, checked and resolved before anything is started."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from flow.board import Board, load_board
from flow.errors import InputError, unknown_name
from flow.network.datasets import DatasetInfo, dataset_info
from flow.search.modes import MODES
from flow.search.samplers import SAMPLERS
from flow.space.space import SearchSpace, Task, load_space
from flow.spec import Spec, make_spec

DEFAULT_SPACES = {"digits": "cnn-small", "mnist": "cnn-small", "cifar10": "cnn-cifar10", "jets": "mlp-jets"}
_ASKED = ("board", "space", "lut", "fps", "latency_us", "clock_mhz")
"""What ``run.yaml`` keeps as the user gave it, beside what it was resolved to."""
_SYNTHESIS = ("tool", "synth_jobs", "synth_memory", "synth_timeout", "synth_window")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class SearchSettings:
    """What the user asked for. Limits: ``None`` takes the board's default; times in seconds.

    ``mode``: see ``flow.search.modes``. ``epochs_total``: epochs of all trainings together, None for no such limit.

    ``tool``: the HLS tool as the user named it, None to look for one. ``synth_jobs`` syntheses at once may take
    ``synth_memory`` GiB together (None: most of the machine's) and ``synth_timeout`` seconds each; up to
    ``synth_window`` candidates are in the works, which decides what is known when, as ``window`` does.

    ``window`` is how many candidates may be in flight: a candidate is proposed knowing all results but those of the
    ``window`` before it, so results do not depend on the number of workers or on which finishes first.
    """

    board: str
    dataset: str = "digits"
    space: str | None = None
    lut: float | None = None
    fps: float | None = None
    latency_us: float | None = None
    clock_mhz: float | None = None
    trials: int = 40
    time_s: float = 540.0
    seed: int = 0
    sampler: str = "ehvi"
    mode: str = "joint"
    bound: str = "upper"
    jobs: int | None = None
    window: int = 4
    epochs_short: int = 10
    epochs_full: int = 40
    epochs_total: int | None = None
    class_weights: bool = False
    estimator_only: bool = False
    tool: str | None = None
    synth_jobs: int = 2
    synth_memory: float | None = None
    synth_timeout: float = 3600.0
    synth_window: int = 4


@dataclass(frozen=True)
class Problem:
    """Settings resolved into typed objects."""

    settings: SearchSettings
    board: Board
    spec: Spec
    data: DatasetInfo
    task: Task
    space: SearchSpace
    jobs: int


def resolve(settings: SearchSettings) -> Problem:
    """The problem the settings describe. Raises InputError for each mistake; nothing is started or written."""
    if settings.sampler not in SAMPLERS:
        raise unknown_name("sampler", settings.sampler, SAMPLERS)
    if settings.mode not in MODES:
        raise unknown_name("mode", settings.mode, MODES)
    for name, least in (("trials", 1), ("seed", 0), ("epochs_short", 1), ("epochs_full", 1)):
        value = getattr(settings, name)
        if not least <= value < 2**31:
            raise InputError(f"{name} must be a whole number of at least {least}, not {value}")
    if not settings.time_s > 0:
        raise InputError(f"time must be a positive number of seconds, not {settings.time_s}")
    if settings.epochs_full < settings.epochs_short:
        raise InputError(f"epochs_full ({settings.epochs_full}) is below epochs_short ({settings.epochs_short})")
    least = settings.epochs_short + settings.epochs_full
    if settings.epochs_total is not None and not least <= settings.epochs_total < 2**31:
        raise InputError(
            f"epochs_total must be at least {least}, the epochs of one candidate on both rungs, not "
            f"{settings.epochs_total}"
        )
    if settings.tool is not None and settings.estimator_only:
        raise InputError("--estimator-only goes without a tool: leave one of --tool and --estimator-only out")
    if not 1 <= settings.synth_jobs <= settings.synth_window:
        raise InputError(f"synth_jobs must be from 1 to {settings.synth_window}, not {settings.synth_jobs}")
    for name in ("synth_memory", "synth_timeout"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name} must be a number above 0, not {value:g}")
    cores = os.cpu_count() or 1
    jobs = settings.jobs if settings.jobs is not None else min(cores, settings.window)
    if not 1 <= jobs <= settings.window:
        raise InputError(f"jobs must be from 1 to {settings.window}, not {jobs}")
    board = load_board(settings.board)
    spec = make_spec(
        board,
        lut=settings.lut,
        fps=settings.fps,
        latency_us=settings.latency_us,
        clock_mhz=settings.clock_mhz,
        bound=settings.bound,
    )
    data = dataset_info(settings.dataset)
    task = Task(data.shape, data.input_format, data.classes)
    space = load_space(settings.space or default_space(data), task)
    return Problem(settings, board, spec, data, task, space, jobs)


def default_space(data: DatasetInfo) -> str:
    """The space taken when none is named: the data set's own, else by the shape of its inputs."""
    return DEFAULT_SPACES.get(data.name, "cnn-small" if len(data.shape) == 3 else "mlp-tiny")


def check_run_name(name: str) -> str:
    """``name`` if it is safe as a folder name. Raises InputError."""
    if not _NAME.fullmatch(name) or name == "latest":
        raise InputError(
            f"run name {name!r} is not allowed: use letters, digits, '.', '_' and '-', at most 64, and not 'latest'"
        )
    return name


def as_yaml(
    problem: Problem, name: str, versions: dict[str, str], fingerprint: str | None, synthesis: str | None = None
) -> dict[str, Any]:
    """The resolved settings as ``run.yaml`` keeps them. ``synthesis``: the tool that was found, with its release."""
    s = problem.settings
    return {
        "schema": 1,
        "name": name,
        "board": problem.board.name,
        "part": problem.board.part,
        "dataset": {"name": s.dataset, "fingerprint": fingerprint},
        "space": s.space or default_space(problem.data),
        "spec": problem.spec.to_dict(),
        **{
            n: getattr(s, n)
            for n in ("seed", "sampler", "mode", "bound", "trials", "time_s", "window", "epochs_short",
                      "epochs_full", "epochs_total", "class_weights", "estimator_only", *_SYNTHESIS)
        },
        "synthesis": synthesis,
        "asked": {n: getattr(s, n) for n in _ASKED},
        "jobs": problem.jobs,
        "versions": versions,
    }  # fmt: skip


def from_yaml(data: dict[str, Any], where: str) -> SearchSettings:
    """The settings a ``run.yaml`` was made from. Raises InputError if it is damaged."""
    # An earlier version ranked by the scarcest resource, of implementations that were solved for LUTs.
    if data.get("minimize", "lut") != "lut":
        raise InputError(f"{where}: minimize: {data['minimize']} is gone, LUTs are minimised; start a new run")
    try:
        asked, dataset = {n: data["asked"][n] for n in _ASKED}, data["dataset"]["name"]
        rest = {
            n: data[n]
            for n in ("seed", "sampler", "trials", "time_s", "window", "epochs_short", "epochs_full",
                      "class_weights", "estimator_only", "jobs")
        }  # fmt: skip
        # Runs of earlier versions do not name these.
        later: dict[str, Any] = {"bound": "upper", "mode": "joint", "epochs_total": None}
        later |= {n: SearchSettings.__dataclass_fields__[n].default for n in _SYNTHESIS}
        return SearchSettings(
            dataset=dataset, **asked, **rest, **{n: data.get(n, before) for n, before in later.items()}
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: damaged run settings ({error}); start a new run") from error
