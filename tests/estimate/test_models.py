"""Hardware models by name, and the reference paper's among them. Their contract: ``test_structural.py``."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from flow.board import load_board
from flow.errors import InputError
from flow.estimate import models
from flow.estimate.models import load_estimator, names
from flow.estimate.models.paper import multiplier, tiled
from flow.estimate.predict import predict
from flow.estimate.table import table_of
from flow.implement.solver import solve
from flow.network.fixed import FixedFormat
from flow.network.network import build_network
from flow.paper.candidates import to_candidate
from flow.paper.logged import LOGGED, LoggedDesign
from flow.paper.model import CORRECTED, evaluate, steps
from flow.paper.multipliers import SYMMETRIC
from flow.paper.solve import add_dense
from flow.search.check import Checker
from flow.space.space import Task, load_space
from flow.spec import make_spec
from tests.estimate import test_structural

HOWTO = Path(__file__).parents[2] / "docs" / "howto-sampler.md"


def test_every_model_has_a_name_and_says_what_it_is() -> None:
    assert set(names()) >= {"calibrated", "paper", "structural"}
    assert len({load_estimator(name).name for name in names()}) == len(names())


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown hardware model 'papr'.*paper"):
        load_estimator("papr")


@pytest.mark.parametrize("logged", LOGGED, ids=lambda d: d.name)
def test_the_papers_designs_cost_what_the_corrected_model_says(logged: LoggedDesign) -> None:
    """Given the steps of the published tiles, each layer takes no more than those tiles do, rounding aside."""
    model = CORRECTED.with_options(resident=True, dense=True)
    design = add_dense(logged.design, model)
    whole = evaluate(design, model)
    table = table_of([build_network(to_candidate(design))])
    layers = table.select(table.is_weight)
    work = model.work([design.network])
    tn, tm = np.array(design.tiles).T
    taken = steps(work.inputs[0], work.outputs[0], tn, tm)
    kernel = np.where(layers.op == 0, 1, layers.kernel_h * layers.kernel_w)
    lut, cycles = tiled(layers, taken * kernel)
    assert (cycles <= whole.cycles_by_layer).all()
    ratio = lut / np.array(whole.luts)
    assert (ratio < 1.08).all(), ratio
    exact = cycles == np.array(whole.cycles_by_layer)
    assert (ratio[exact] > 0.8).all(), ratio


def test_more_reuse_takes_no_more_luts_and_no_fewer_cycles() -> None:
    table = table_of([build_network(to_candidate(LOGGED[0].design))])
    layers = table.select(table.is_weight)
    before = tiled(layers, np.ones(len(layers), dtype=np.int64))
    for reuse in (2, 3, 9, 64, 1000, 50_000):
        lut, cycles = tiled(layers, np.full(len(layers), reuse))
        assert (lut <= before[0]).all()
        assert (cycles >= before[1]).all()
        before = lut, cycles


def test_wide_multipliers_go_on_from_where_the_table_ends() -> None:
    widths = np.arange(1, 25)
    values = multiplier(widths, np.full(24, 14))
    assert values[:14].tolist() == SYMMETRIC[1:15, 14].tolist()
    assert (np.diff(values) > 0).all()


def test_a_network_is_solved_and_predicted_on_the_papers_hardware() -> None:
    estimator = load_estimator("paper")
    board = load_board("pynq-z2")
    spec = make_spec(board, fps=100.0)
    space = load_space("cnn-small", Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10))
    codes = space.sample(np.random.default_rng(0), 400)
    started = time.perf_counter()
    checked = Checker(space, Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10), spec, board.family,
                      estimator=estimator).check(codes)  # fmt: skip
    assert time.perf_counter() - started < 5
    assert checked.feasible.sum() > 100
    code = codes[int(np.flatnonzero(checked.feasible)[0])]
    network = build_network(space.candidate(code, Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10)))
    implementation = solve(network, spec, board.family, estimator)
    total = predict(network, implementation, board.part, board.family, estimator).total
    assert total.tool == estimator.name
    assert total.resources.lut == checked.cost[int(np.flatnonzero(checked.feasible)[0])]
    assert (total.throughput_per_s or 0) >= 100
    assert total.resources.ff is None, "what the model is silent about is unknown, not 0"


def test_the_model_of_the_howto_keeps_the_contract_and_is_all_that_a_user_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "multipliers.py").write_text(next(b for b in blocks if "ESTIMATOR =" in b))
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert "multipliers" in names()
    estimator = load_estimator("multipliers")
    contract = test_structural.test_the_contract_of_estimators.hypothesis.inner_test
    for space in test_structural.TASKS:
        contract(estimator, name=space, family="zynq7000", seed=1)
    network, board = build_network(to_candidate(LOGGED[0].design)), load_board("pynq-z2")
    spec = make_spec(board, fps=10.0)
    implementation = solve(network, spec, board.family, estimator)
    total = predict(network, implementation, board.part, board.family, estimator).total
    assert (total.throughput_per_s or 0) >= 10
    assert total.resources.dsp is None
