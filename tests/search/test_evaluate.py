"""TrainingEvaluator: real trainings in worker processes, the same results however many there are."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from flow.errors import InputError, ToolError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.search.evaluate import TrainingEvaluator, threads_per_worker
from flow.search.worker import candidate_seed
from flow.space.candidate import Candidate, LayerChoice

pytestmark = pytest.mark.slow
pytest.importorskip("qkeras")
pytest.importorskip("sklearn")

A3 = FixedFormat(3, 1, signed=False)


def candidate(units: int, weight: str, **changes: Any) -> Candidate:
    layer = LayerChoice("conv2d", units, WeightFormat.parse(weight), A3, (3, 3), (2, 2))
    values: dict[str, Any] = {"input_shape": (8, 8, 1), "input_format": FixedFormat(5, 1, signed=False), "classes": 10}
    return Candidate(**{**values, **changes}, layers=(layer,), output_weight=WeightFormat.parse("fixed<4,1>"))


CANDIDATES = [candidate(8, "fixed<3,1>"), candidate(6, "binary"), candidate(4, "ternary")]


def evaluator_in(folder: Path, jobs: int, **changes: Any) -> TrainingEvaluator:
    values: dict[str, Any] = {"epochs_short": 2, "epochs_full": 5, "seed": 3, "jobs": jobs, **changes}
    return TrainingEvaluator(folder, "digits", **values)


def test_candidates_are_trained_saved_and_tested_the_same_way_by_any_worker(tmp_path: Path) -> None:
    from flow.network.datasets import load_dataset
    from flow.network.training import evaluate

    results: list[list[dict[str, Any]]] = []
    for jobs, order in ((2, 1), (1, -1)):
        with evaluator_in(tmp_path / str(jobs), jobs) as evaluator:
            waits = [[evaluator.submit(c, rung) for c in CANDIDATES[::order]] for rung in ("short", "full")]
            found = [[wait() for wait in rung][::order] for rung in waits]
            tests = [wait() for wait in [evaluator.submit(c, "test") for c in CANDIDATES]]
        results.append([*found[0], *found[1], *tests])
    for first, second in zip(*results, strict=True):
        assert first.pop("seconds") > 0
        assert second.pop("seconds") > 0
        assert first == second
    short, full, test = (results[0][i : i + 3] for i in (0, 3, 6))
    assert all(r["ok"] and r["epochs"] == 2 and 0.1 < r["val_accuracy"] < 1 for r in short)
    assert all(r["ok"] and r["epochs"] == 5 for r in full)
    assert full[0]["val_accuracy"] > 0.8
    digits = load_dataset("digits")
    path = tmp_path / "1" / "candidates" / CANDIDATES[0].digest / "model.keras"
    assert evaluate(path, digits, "val") == full[0]["val_accuracy"]
    assert evaluate(path, digits, "test") == test[0]["test_accuracy"]


def test_a_candidate_that_fails_fails_alone_and_says_why(tmp_path: Path) -> None:
    wrong = candidate(4, "binary", input_shape=(8, 8, 3))
    with evaluator_in(tmp_path, 1) as evaluator:
        waits = [
            evaluator.submit(wrong, "short"),
            evaluator.submit(wrong, "test"),
            evaluator.submit(CANDIDATES[2], "short"),
        ]
        first, second, third = (wait() for wait in waits)
        with pytest.raises(InputError, match="unknown rung 'long', known: short, full, test"):
            evaluator.submit(wrong, "long")
    assert first["error"].startswith("the candidate takes (8, 8, 3) of ufixed<5,1>")
    assert second["error"].endswith("No such file or directory")
    assert third["ok"]
    assert not (tmp_path / "candidates" / wrong.digest).exists()


def test_the_data_set_is_checked_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown data set 'digit'"):
        TrainingEvaluator(tmp_path, "digit", epochs_short=1, epochs_full=1, seed=0)
    (tmp_path / "broken.npz").write_text("")
    with pytest.raises(InputError, match=r"not an \.npz file"):
        TrainingEvaluator(tmp_path, str(tmp_path / "broken.npz"), epochs_short=1, epochs_full=1, seed=0)
    with pytest.raises(InputError, match="jobs must be at least 1, not 0"):
        evaluator_in(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot write"):
        evaluator_in(tmp_path / "file", 1)


def test_the_process_of_the_search_does_not_import_the_framework(tmp_path: Path) -> None:
    program = """
        import json, sys
        from pathlib import Path
        from flow.search.evaluate import TrainingEvaluator
        from tests.search.test_evaluate import CANDIDATES
        before = set(sys.modules)
        with TrainingEvaluator(Path(sys.argv[1]), "digits", epochs_short=1, epochs_full=1, seed=0) as evaluator:
            result = evaluator.submit(CANDIDATES[0], "short")()
        print(json.dumps([result["ok"], sorted(m for m in set(sys.modules) - before if m in ("tensorflow", "keras"))]))
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, []]


def test_seeds_of_candidates_depend_on_the_seed_and_the_digest_alone() -> None:
    assert candidate_seed(0, "aa") == candidate_seed(0, "aa")
    assert len({candidate_seed(seed, digest) for seed in (0, 1) for digest in ("aa", "ab", "0 aa")}) == 6


def test_workers_share_out_the_cores_whatever_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 1), (4, 1), (8, 2), (16, 4)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert threads_per_worker() == threads
