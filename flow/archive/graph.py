"""The layers a configuration names, in order: what each reads, and where its variables are in the file of weights.

Sequential and Functional models of Keras 3. The order is that of ``flow.network.quantized_keras``: from the output
back, inputs first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flow.errors import InputError

MAX_LAYERS = 2000
MAX_SIZE = 1 << 20
"""Largest dimension accepted, as in ``flow.space.candidate``."""
MAX_RANK = 3
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One layer. ``inputs`` are names of nodes or of the input, ``group`` is where its variables are.

    ``problem`` says what of it in the graph can't be handled; empty if nothing. ``told``: shapes of its inputs that the
    file states (None where it states none).
    """

    name: str
    kind: str
    module: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    group: str
    told: tuple[Shape | None, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Graph:
    """A model's nodes, each after those it reads; the last one gives the output."""

    input_name: str
    input_shape: Shape
    nodes: tuple[Node, ...]


def graph_of(config: Mapping[str, Any]) -> Graph:
    """The graph of a model's configuration. Raises InputError without the name of the file."""
    kind, body = config.get("class_name"), config.get("config")
    if kind not in ("Sequential", "Functional", "Model"):
        raise InputError(
            f"models of class {_word(kind)} are not supported, only Sequential and Functional ones: "
            "a subclass of Model is program code"
        )
    if not isinstance(body, Mapping) or not isinstance(body.get("layers"), list):
        raise InputError("its configuration is damaged: no list of layers")
    entries = body["layers"]
    if len(entries) > MAX_LAYERS:
        raise InputError(f"it has {len(entries):,} layers, at most {MAX_LAYERS:,} are accepted")
    described = [_described(entry, number) for number, entry in enumerate(entries)]
    groups = _groups(described)
    return _sequential(body, described, groups) if kind == "Sequential" else _functional(body, described, groups)


def _described(entry: Any, number: int) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
        raise InputError(f"its configuration is damaged: layer {number} has no class")
    if not isinstance(entry.get("config"), Mapping):
        raise InputError(f"its configuration is damaged: layer {number} ({_word(entry['class_name'])}) has no settings")
    return entry


def _name(entry: Mapping[str, Any], number: int) -> str:
    name = entry["config"].get("name", entry.get("name"))
    if not isinstance(name, str) or not 1 <= len(name) <= 200 or not name.isprintable():
        raise InputError(f"its configuration is damaged: layer {number} ({_word(entry['class_name'])}) has no name")
    return name


def _groups(entries: list[Mapping[str, Any]]) -> list[str]:
    """Where Keras keeps the variables of each layer: by class, numbered in the order of the layers."""
    used: dict[str, int] = {}
    found = []
    for entry in entries:
        base = snake_case(entry["class_name"])
        number = used.get(base, -1) + 1
        used[base] = number
        found.append(f"layers/{base}_{number}" if number else f"layers/{base}")
    return found


def snake_case(name: str) -> str:
    """The name of a class as Keras writes it in files of weights: ``QConv2D`` is ``q_conv2d``."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _node(
    entry: Mapping[str, Any],
    name: str,
    inputs: tuple[str, ...],
    group: str,
    told: tuple[Shape | None, ...],
    problem: str,
) -> Node:
    module, registered = entry.get("module"), entry.get("registered_name")
    if not isinstance(module, str):
        module = "qkeras" if str(registered).startswith("qkeras>") else ""
    return Node(name, entry["class_name"], module, entry["config"], inputs, group, told, problem)


def _sequential(body: Mapping[str, Any], entries: list[Mapping[str, Any]], groups: list[str]) -> Graph:
    before, shape = "input", body.get("build_input_shape")
    nodes: list[Node] = []
    for number, (entry, group) in enumerate(zip(entries, groups, strict=True)):
        name = _name(entry, number)
        if number == 0 and entry["class_name"] == "InputLayer":
            before, shape = name, entry["config"].get("batch_shape", shape)
            continue
        nodes.append(_node(entry, name, (before,), group, (None,), ""))
        before = name
    return _checked(Graph(nodes[0].inputs[0] if nodes else before, _input_shape(shape), tuple(nodes)))


def _functional(body: Mapping[str, Any], entries: list[Mapping[str, Any]], groups: list[str]) -> Graph:
    start, end = _one(body.get("input_layers"), "input"), _one(body.get("output_layers"), "output")
    made: dict[str, Node] = {}
    shape: Any = None
    for number, (entry, group) in enumerate(zip(entries, groups, strict=True)):
        name = _name(entry, number)
        if name in made:
            raise InputError(f"its configuration is damaged: two layers are called {name}")
        calls = entry.get("inbound_nodes")
        if not isinstance(calls, list):
            raise InputError(f"its configuration is damaged: it does not say what layer {name} reads")
        if entry["class_name"] == "InputLayer" and not calls:
            shape = entry["config"].get("batch_shape") if name == start else shape
            made[name] = _node(entry, name, (), group, (), "")
            continue
        problem = "" if len(calls) == 1 else "it is used more than once: shared layers are not supported"
        tensors = list(_tensors(calls[0], name)) if len(calls) == 1 else []
        if any(index != (0, 0) for _, index, _ in tensors):
            problem = problem or "it reads a layer that is used more than once: shared layers are not supported"
        inputs = tuple(source for source, _, _ in tensors)
        made[name] = _node(entry, name, inputs, group, tuple(told for _, _, told in tensors), problem)
    if start not in made or made[start].kind != "InputLayer":
        raise InputError(f"its configuration is damaged: no input layer {_word(start)}")
    return _checked(Graph(start, _input_shape(shape), tuple(_ordered(made, start, end))))


def _one(names: Any, what: str) -> str:
    """The layer of the one input or output: ``["x", 0, 0]``, or a list of one such list."""
    if isinstance(names, list) and names and isinstance(names[0], list | Mapping):
        if len(names) > 1:
            raise InputError(f"models with one input and one output are supported, not {len(names)} {what}s")
        names = names[0]
    if isinstance(names, Mapping):
        raise InputError(f"models with one input and one output are supported, not a dictionary of {what}s")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise InputError(f"its configuration is damaged: it names no {what}")
    return names[0]


def _tensors(call: Any, name: str) -> Iterator[tuple[str, tuple[int, int], Shape | None]]:
    """What one call of a layer reads: layer, which of its results, and the shape the file states."""
    damaged = InputError(f"its configuration is damaged: it does not say what layer {name} reads")
    if not isinstance(call, Mapping) or not isinstance(call.get("args"), list):
        raise damaged
    waiting = [(argument, 0) for argument in reversed([*call["args"], call.get("kwargs")])]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, list) and depth < 4:
            waiting += [(item, depth + 1) for item in reversed(value)]
        elif isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
            body = value.get("config")
            history = body.get("keras_history") if isinstance(body, Mapping) else None
            if not isinstance(history, list) or len(history) != 3 or not isinstance(history[0], str):
                raise damaged
            assert isinstance(body, Mapping)
            told = body.get("shape")
            if not isinstance(told, list) or not all(_is_size(n) for n in told[1:]):
                told = None
            yield history[0], (history[1], history[2]), None if told is None else tuple(told[1:])
        elif isinstance(value, Mapping) and depth < 4:
            waiting += [(item, depth + 1) for item in value.values()]


def _ordered(made: Mapping[str, Node], start: str, end: str) -> Iterator[Node]:
    """The nodes that the output depends on, inputs first. Raises InputError for loops and for what isn't there."""
    done, under_way = {start}, set[str]()
    stack = [end]
    while stack:
        name = stack[-1]
        if name in done:
            stack.pop()
            continue
        node = made.get(name)
        if node is None:
            raise InputError(f"its configuration is damaged: no layer {_word(name)}")
        if node.kind == "InputLayer":
            raise InputError("models with one input and one output are supported, this one has more inputs")
        waiting = [source for source in node.inputs if source not in done]
        if waiting and name in under_way:
            raise InputError(f"its configuration is damaged: layer {name} depends on itself")
        under_way.add(name)
        if waiting:
            stack += reversed(waiting)
            continue
        stack.pop()
        done.add(name)
        yield node


def _checked(graph: Graph) -> Graph:
    names = [graph.input_name, *(node.name for node in graph.nodes)]
    if len(set(names)) != len(names):
        raise InputError("its configuration is damaged: two layers have the same name")
    if not graph.nodes:
        raise InputError("it has no layers")
    return graph


def _input_shape(shape: Any) -> Shape:
    if not isinstance(shape, list) or not 2 <= len(shape) <= 1 + MAX_RANK or not all(_is_size(n) for n in shape[1:]):
        known = shape[1:] if isinstance(shape, list) else shape
        raise InputError(f"input shape {_word(known)} is not fixed, or has not 1 to {MAX_RANK} dimensions")
    return tuple(shape[1:])


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIZE


def _word(value: Any) -> str:
    """A value of the file in a message: short, and on one line."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= 80 else f"{text[:79]}…"
