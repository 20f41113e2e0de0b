"""Block diagrams of designs."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from flow.rtl.diagram import block_diagram
from flow.rtl.folding import fold_for, serial_folding
from flow.rtl.plan import BuildPlan, build_plan
from tests.rtl.builder import conv_network
from tests.rtl.random_networks import random_network

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [t.text or "" for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own text


def test_it_shows_every_module_with_its_streams_and_cycles() -> None:
    network = conv_network()
    plan = build_plan(network, fold_for(network, 400))
    shown = texts(block_diagram(plan.design, plan.schedule, {"conv": 1234.0}))
    assert "5 layers, an inference every 324 cycles, latency " + f"{plan.schedule.latency:,} cycles" in shown
    for node in plan.design.nodes:
        assert any(text == node.name or text.startswith(f"{node.name}: ") for text in shown), node.name
        assert f"{plan.schedule.busy[node.name]:,}" in shown
    assert "conv 3x3, 4 x 2 MACs a cycle, 72 weights of fixed<4,1>" in shown
    assert {"1,234", "synthesized LUTs"} <= set(shown)
    assert "synthesized LUTs" not in texts(block_diagram(plan.design, plan.schedule))


def test_the_bar_of_the_bottleneck_alone_is_marked() -> None:
    network = conv_network()
    plan = build_plan(network, fold_for(network, 400))
    bars = list(ElementTree.fromstring(block_diagram(plan.design, plan.schedule)).iter(f"{SVG}rect"))  # noqa: S314 - our own text
    marked = [r for r in bars if r.get("class") == "m"]
    assert [float(r.get("width", "0")) for r in marked] == [200.0]
    assert max(float(r.get("width", "0")) for r in bars if r.get("class") == "b") < 200


@pytest.mark.parametrize("kind", ["residual", "concat"])
def test_skip_branches_go_round_what_they_skip(kind: str) -> None:
    plan = next(p for p in (plan_of(kind, seed) for seed in range(20)) if p.schedule.fifos)
    svg = block_diagram(plan.design, plan.schedule)
    (name, port), depth = next(iter(plan.schedule.fifos.items()))
    assert any(f"FIFO of {depth:,}" in text for text in texts(svg)), (name, port)


def plan_of(kind: str, seed: int) -> BuildPlan:
    network = random_network(seed, kind)
    return build_plan(network, serial_folding(network))
