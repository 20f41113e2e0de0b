"""``study.journal``: every trial told to the sampler, as an Optuna study that its dashboard and API can open.

It is a record, not the state of the search: a resumed run replays its decisions from the seed and the evaluations on
disk, so a journal that a kill has damaged is written again from the start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.errors import MissingDependency, ToolError
from flow.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    import optuna

STUDY_NAME = "flow"


class StudyJournal:
    """Appends finished trials to the journal of a run. One process at a time: the run directory's lock sees to it."""

    def __init__(self, path: Path, space: SearchSpace) -> None:
        self.path, self.space = path, space
        self._study = _open(path)
        self._known = len(self._study.trials)
        self._told = 0

    def tell(
        self, number: int, code: Codes, accuracy: float | None, cost: float, attributes: Mapping[str, Any]
    ) -> None:
        """Add one trial; ``accuracy`` None if it failed. Trials that an earlier sitting has added are skipped.

        Raises ToolError if the file can't be written.
        """
        import optuna

        self._told += 1
        if self._told <= self._known:
            return
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL if accuracy is None else optuna.trial.TrialState.COMPLETE,
            params={d.name: int(code[i]) for i, d in enumerate(self.space.decisions) if len(d.options) > 1},
            distributions=distributions(self.space),
            values=None if accuracy is None else [accuracy, cost],
            user_attrs={"number": number, **attributes},
        )
        try:
            self._study.add_trial(trial)
        except OSError as error:
            raise ToolError(f"cannot write {self.path}: {error.strerror}") from error


def new_study(sampler: Any = None, storage: Any = None) -> optuna.Study:
    """A study of the two objectives of a search: accuracy up, cost down. Raises MissingDependency without Optuna."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency("optuna", "search") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        directions=["maximize", "minimize"], sampler=sampler, storage=storage, study_name=STUDY_NAME,
        load_if_exists=storage is not None,
    )  # fmt: skip


def distributions(space: SearchSpace) -> dict[str, Any]:
    """Optuna's distribution of each decision that has more than one option; values are option indices."""
    import optuna

    found: dict[str, Any] = {}
    for decision in space.decisions:
        count = len(decision.options)
        if count > 1:
            found[decision.name] = (
                optuna.distributions.IntDistribution(0, count - 1)
                if decision.ordered
                else optuna.distributions.CategoricalDistribution(list(range(count)))
            )
    return found


def _open(path: Path) -> optuna.Study:
    """The study in ``path``, emptied first if a kill has left a line that is no JSON."""
    try:
        if path.exists() and not _intact(path.read_bytes()):
            path.unlink()
        return new_study(storage=_storage(path))
    except OSError as error:
        raise ToolError(f"cannot write {path}: {error.strerror}") from error


def _intact(content: bytes) -> bool:
    try:
        for line in content.splitlines():
            json.loads(line)
    except ValueError:
        return False
    return not content or content.endswith(b"\n")


def _storage(path: Path) -> Any:
    try:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise MissingDependency("optuna", "search") from error
    # The run directory is locked by this process already: a lock file here is one that a kill left behind.
    for stale in path.parent.glob(f"{path.name}.lock*"):
        stale.unlink()
    return JournalStorage(JournalFileBackend(str(path)))
