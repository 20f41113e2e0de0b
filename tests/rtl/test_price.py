"""Prices of generated hardware: fitted to samples, near what Yosys counts, and honest where nothing is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.errors import InputError
from flow.rtl.features import Facts, facts_of
from flow.rtl.folding import serial_folding
from flow.rtl.parts import assemble_parts
from flow.rtl.plan import TOP, build_plan
from flow.rtl.price import DATA, Prices, dumps, group_of, load_prices
from flow.rtl.price_fit import fit, held_out, non_negative, read_samples
from flow.rtl.yosys import Yosys
from tests.rtl.builder import conv_network, dense_network
from tests.rtl.random_networks import random_folding, random_network

SAMPLES = DATA / "samples_xc7.csv"


def test_every_part_of_a_design_has_facts_under_its_name(yosys: Yosys, cache: Path) -> None:
    from flow.rtl.cache import Cache

    for seed in (4, 5):  # a residual network has FIFOs and forks, a concatenation both inputs
        network = random_network(seed)
        plan = build_plan(network, random_folding(network, seed))
        parts = assemble_parts(plan.files, TOP, yosys, Cache(cache)).parts
        assert sorted(part.name for part in parts) == sorted(facts_of(plan.design, plan.schedule))


def test_facts_survive_a_file() -> None:
    network = conv_network()
    plan = build_plan(network, serial_folding(network))
    for facts in facts_of(plan.design, plan.schedule).values():
        assert Facts.from_dict({name: str(value) for name, value in facts.to_dict().items()}) == facts
    with pytest.raises(InputError, match="samples: lanes can't be 'x'"):
        Facts.from_dict({**{k: str(v) for k, v in Facts("mac").to_dict().items()}, "lanes": "x"})


def test_coefficients_are_found_again_and_never_below_zero() -> None:
    rng = np.random.default_rng(1)
    terms = rng.uniform(0, 10, size=(200, 4))
    assert non_negative(terms, terms @ np.array([3.0, 0.0, 0.5, 2.0])) == pytest.approx([3, 0, 0.5, 2], abs=1e-3)
    assert (non_negative(terms, terms @ np.array([3.0, -1.0, 0.5, 2.0])) >= 0).all()


def test_prices_of_the_samples_are_near_what_was_counted() -> None:
    samples = read_samples(SAMPLES)
    found = held_out(samples, "lut").networks
    error = np.abs(found[:, 0] / found[:, 1] - 1)
    assert len(found) > 15
    assert np.median(error) < 0.15
    prices = fit(samples, "xc7")
    low, high = prices.spread["lut"]
    assert 0.4 < low <= 1 <= high < 2
    assert Prices.from_dict(json.loads(dumps(prices))) == prices


def test_a_design_is_priced_with_its_interval() -> None:
    prices = load_prices("xc7")
    assert prices is not None
    network = dense_network()
    plan = build_plan(network, serial_folding(network))
    found = prices.design(plan.design, plan.schedule, "xc7z020clg400-1", 100.0)
    assert found.source == "predicted"
    assert found.low is not None
    assert found.high is not None
    assert 0 < (found.low.lut or 0) <= (found.resources.lut or 0) <= (found.high.lut or 0)
    assert found.interval_cycles == plan.schedule.interval


def test_what_was_never_sampled_has_no_price() -> None:
    prices = load_prices("xc7")
    assert prices is not None
    strange = replace(Facts("mac", "conv"), style="of another world", fan=1)
    assert group_of(strange) == "mac of another world"
    assert prices.part(strange).lut is None
    assert prices.total([strange, Facts("fork", lanes=1, out_width=4, ratio=2)]).lut is None
    assert load_prices("no-such-family") is None


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("network,part\n1,u_x\n", encoding="utf-8")
    with pytest.raises(InputError, match="column kind is missing"):
        read_samples(path)
    with pytest.raises(InputError, match=r"mine: not a file of prices"):
        Prices.from_dict({"schema": 1}, "mine")
    with pytest.raises(InputError, match="3 samples are too few"):
        fit(read_samples(SAMPLES)[:3], "xc7")


def test_a_fifo_is_counted_though_a_text_is_among_its_parameters(yosys: Yosys, cache: Path) -> None:
    from flow.rtl.cache import Cache
    from flow.rtl.parts import Part
    from flow.rtl.plan import library_text
    from flow.rtl.synth import Synthesizer
    from flow.rtl.technology import technology

    worker = Synthesizer(technology("xc7"), False, yosys, Cache(cache))
    part = Part("q_fifo", "flow_fifo", {"WIDTH": "8", "DEPTH": "1000", "RAM_STYLE": '"block"'}, ("flow_fifo.v",))
    found, _ = worker.part(part, {"flow_fifo.v": library_text("flow_fifo")})
    assert found.resources.bram18 == 1
