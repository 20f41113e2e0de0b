"""A design as its parts: the instances of its top module, each with the files it needs to be synthesized by itself.

The top is read by Yosys, so whatever the generator puts there is seen. It may hold instances and wires only: logic of
its own would be part of no layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flow.errors import InputError, ToolError
from flow.rtl.cache import Cache, digest_of
from flow.rtl.netlist import Netlist, read_netlist
from flow.rtl.yosys import Yosys, run_script
from flow.runner import Limits

_READ_LIMITS = Limits(timeout_s=300.0, memory_bytes=4 * 2**30)
_TOP_FILE = "top.json"


@dataclass(frozen=True)
class Part:
    """An instance: what it is called, its module and parameters (in Yosys' notation), and the files that define it."""

    name: str
    module: str
    parameters: Mapping[str, str]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Assembly:
    """The parts of a design in the order of its top, and ``top``, a netlist of instances called as the parts are."""

    parts: tuple[Part, ...]
    top: Netlist
    top_name: str


def assemble_parts(files: Mapping[str, str], top: str, yosys: Yosys, cache: Cache) -> Assembly:
    """The parts of module ``top``, whose file is TOP.v; ``files`` are all of the design, by relative path.

    Raises InputError if there is no such file, ToolError if the top has logic of its own, ToolFailure if it is no
    Verilog.
    """
    own = f"{top}.v"
    if own not in files:
        raise InputError(f"there is no {own} in the design")
    key = digest_of("parts", yosys.kind, yosys.version, top, files[own])
    text = cache.get(key)
    if text is None:
        text = _read_top(files[own], own, top, yosys, cache)
        cache.put(key, text)
    netlist = read_netlist(text, top, own)
    modules = {path[:-2] for path in files if path.endswith(".v")}
    foreign = sorted({cell.type for cell in netlist.cells if cell.type not in modules})
    if foreign:
        raise ToolError(f"{own} has logic of its own ({foreign[0]}), which no layer's count would have")
    needs = {path: _needs(files[path], modules - {path[:-2]}) for path in files if path.endswith(".v")}
    order = {name: place for place, name in enumerate(re.findall(r"\b\w+\b", files[own]))}
    cells = sorted(netlist.cells, key=lambda cell: order.get(cell.name, 0))
    parts = tuple(
        Part(
            cell.name, cell.type, {name: _parameter(value) for name, value in cell.parameters.items()},
            _closure(f"{cell.type}.v", needs, files),
        )
        for cell in cells
    )  # fmt: skip
    return Assembly(parts, netlist, top)


def label(name: str) -> str:
    """What reports call a part: an instance's name without what makes it a legal and unique Verilog name."""
    return name.removeprefix("u_").removeprefix("q_").removesuffix("_u")


def _read_top(text: str, own: str, top: str, yosys: Yosys, cache: Cache) -> bytes:
    script = f"read_verilog -sv {own}\nproc\nopt_clean\nattrmap -remove src\nwrite_json {_TOP_FILE}\n"
    with cache.work("top") as folder:
        (folder / own).write_text(text, encoding="utf-8")
        output = folder / _TOP_FILE
        return run_script(yosys, folder, script, top, [_TOP_FILE], _READ_LIMITS, output.read_bytes).value


def _needs(text: str, modules: set[str]) -> set[str]:
    """Modules that a file names, in whatever way: one too many costs nothing but a digest."""
    return set(re.findall(r"\b[A-Za-z_]\w*\b", text)) & modules


def _closure(path: str, needs: Mapping[str, set[str]], files: Mapping[str, str]) -> tuple[str, ...]:
    """A file, all files of modules below it, and the memories they read; in the order of the design."""
    found, waiting = {path}, [path]
    while waiting:
        for name in needs[waiting.pop()]:
            if f"{name}.v" not in found:
                found.add(f"{name}.v")
                waiting.append(f"{name}.v")
    quoted = {word for file in found for word in re.findall(r'"([^"\n]+)"', files[file])}
    return tuple(file for file in files if file in found or file in quoted)


def _parameter(value: str) -> str:
    """A parameter as scripts take it: bits with their number, or a quoted text.

    Yosys writes numbers as bits, and marks a text that looks like bits by a space behind it.
    """
    if re.fullmatch(r"[01xz]+", value):
        return f"{len(value)}'b{value}"
    if re.fullmatch(r"[01xz]* +", value):
        value = value[:-1]
    if not re.fullmatch(r"[\w./ -]*", value):
        raise InputError(f"a parameter of the design is not a plain word: {value[:40]!r}")
    return f'"{value}"'
