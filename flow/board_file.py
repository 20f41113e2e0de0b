"""The YAML form of a board, checked field by field. Every number must have a source; what is unknown is ``null``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from flow.board import Board, ClockInput, Toolchain, ToolchainName
from flow.clocks import (
    EHXPLLL,
    MMCME2,
    MMCME4,
    SB_PLL40,
    XRT_MHZ,
    ClockGenerator,
    PllClock,
    Primitive,
    PsClock,
    XrtClock,
)
from flow.errors import InputError, nearest
from flow.fileio import read_yaml, yaml_line
from flow.resources import RESOURCE_NAMES, Resources

SCHEMA = 1
MAX_AMOUNT = 100_000_000
MHZ = (0.001, 10_000)

HEADROOM = {"lut": 0.7, "ff": 0.5, "bram18": 0.8, "uram": 0.8, "dsp": 0.8}
MIN_HEADROOM = 0.01
HEADROOM_SOURCE = "FINN, src/finn/util/platforms.py: limits AMD recommends for timing closure"


@dataclass(frozen=True)
class Family:
    """What goes together in one device family: processor, first letters of its parts, clock generators, toolchains."""

    ps: Literal["zynq7", "zynqmp"] | None
    parts: tuple[str, ...]
    clocks: tuple[str, ...]
    primitive: Primitive
    toolchains: tuple[ToolchainName, ...] = ("vivado",)


FAMILIES = {
    "zynq7000": Family("zynq7", ("xc7z",), ("zynq7", "mmcm"), MMCME2),
    "zynqmp": Family("zynqmp", ("xczu", "xck24", "xck26"), ("zynqmp", "mmcm"), MMCME4),
    "spartan7": Family(None, ("xc7s",), ("mmcm",), MMCME2),
    "artix7": Family(None, ("xc7a",), ("mmcm",), MMCME2),
    "kintex7": Family(None, ("xc7k",), ("mmcm",), MMCME2),
    "virtex7": Family(None, ("xc7v",), ("mmcm",), MMCME2),
    "artix-ultrascale+": Family(None, ("xcau",), ("mmcm",), MMCME4),
    "kintex-ultrascale+": Family(None, ("xcku",), ("mmcm",), MMCME4),
    "virtex-ultrascale+": Family(None, ("xcvu", "xcu"), ("mmcm", "xrt"), MMCME4, ("vivado", "vitis")),
    "ecp5": Family(None, ("lfe5u",), ("ecp5_pll",), EHXPLLL, ("open",)),
    "ice40": Family(None, ("ice40",), ("ice40_pll",), SB_PLL40, ("open",)),
}


@dataclass(frozen=True)
class PsDefaults:
    """The IO PLL of a processor as Vivado sets it: output in MHz, how much faster its VCO is, highest PL clock."""

    pll_mhz: float
    vco_factor: int
    max_mhz: float
    pll_source: str
    max_source: str


PS = {
    "zynq7": PsDefaults(
        1000, 1, 250, "Vivado's default for the IO PLL; UG585 chapter 25",
        "range of FCLK in Vivado's processing_system7 5.5",
    ),
    "zynqmp": PsDefaults(
        1500, 2, 400, "Vivado's default for the IO PLL (VCO 3000 MHz, halved); UG1085 chapter 37",
        "unverified: above what generated networks reach, below the 667 MHz of the clock tree (DS925, speed grade -1)",
    ),
}  # fmt: skip

BLOCKS = {"bram18": 1.0, "bram36": 2.0, "ebr18": 1.0, "ebr4": 1 / 5}
"""RAMB18 (18 kbit) in each kind of memory block. One holds what no less than five 4-kbit blocks of iCE40 hold: as
512x36, 1024x18 or 2048x9 it takes five of 512x8, 1024x4 or 2048x2 (Lattice FPGA-TN-02002)."""

Form = tuple[re.Pattern[str], str]
"""What a text must look like, and the same in words."""

_NAME: Form = (re.compile(r"[a-z0-9][a-z0-9._-]{0,63}"), "lower-case letters, digits, '.', '_' and '-', at most 64")
_PART: Form = (re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,39}"), "letters, digits and '-', 3 to 40")
_BOARD_PART: Form = (re.compile(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+){3}"), "vendor:board:part0:version")
_PIN: Form = (re.compile(r"[A-Za-z0-9_]{1,16}"), "letters, digits and '_', at most 16")
_ARGUMENT: Form = (re.compile(r"[A-Za-z0-9._=-]{1,64}"), "letters, digits, '.', '_', '=' and '-', at most 64")
_SETTING: Form = (re.compile(r"P[CS][WU]_[A-Z0-9_]{1,80}"), "a setting of the processor's IP, PCW_... or PSU__...")
_VALUE: Form = (re.compile(r"[A-Za-z0-9 ._()/:+-]{1,60}"), "letters, digits, blanks and ._()/:+-, at most 60")
_LINE: Form = (re.compile(r".+"), "printable characters")


def read_board(path: Path) -> Board:
    """The board in ``path``. Raises InputError naming file, line and field."""
    return _Reader(path).board(read_yaml(path, "board"))


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.sources: dict[str, str] = {}

    def fail(self, field: str, problem: str) -> InputError:
        line = yaml_line(self.path, field, "board") or 1
        return InputError(f"{self.path}:{line}: {field if field.isprintable() else ascii(field)}: {problem}")

    def board(self, data: dict[str, Any]) -> Board:
        required = ("schema", "name", "title", "part", "family", "toolchain", "source", "capacity", "shell", "clock")
        self.names(data, "", required, ("board_part", "headroom", "inputs", "pins",
                                    "ps_preset", "notes", "sources"))  # fmt: skip
        if data["schema"] != SCHEMA or isinstance(data["schema"], bool):
            raise self.fail("schema", f"{_shown(data['schema'])} is not supported, expected {SCHEMA}")
        part = self.text(data["part"], "part", _PART)
        family_name = data["family"]
        if not isinstance(family_name, str) or family_name not in FAMILIES:
            raise self.fail("family", f"{_shown(family_name)} is not a family, {nearest(str(family_name), FAMILIES)}")
        family = FAMILIES[family_name]
        if not part.lower().startswith(family.parts):
            raise self.fail("part", f"{part!r} is not a part of {family_name}: those start with {family.parts[0]}")
        self.cite(data, "", ("part", "board_part", "family", "toolchain"))
        capacity = self.resources(data["capacity"], "capacity", math.floor)
        shell = self.resources(data["shell"], "shell", math.ceil)
        for name, over in shell.exceeds(capacity).items():
            raise self.fail(f"shell.{name}", f"the shell takes {over:g} more than the part has")
        toolchain = self.toolchain(data["toolchain"], family_name)
        inputs = self.inputs(data.get("inputs", []))
        clock, default = self.clock(data["clock"], family_name, toolchain, inputs)
        board = Board(
            name=self.text(data["name"], "name", _NAME),
            title=self.text(data["title"], "title"),
            part=part,
            board_part=None
            if data.get("board_part") is None
            else self.text(data["board_part"], "board_part", _BOARD_PART),
            family=family_name,
            ps=family.ps,
            toolchain=toolchain,
            capacity=capacity,
            shell=shell,
            headroom=self.headroom(data.get("headroom")),
            clock=clock,
            default_clock_mhz=default,
            inputs=inputs,
            pins=self.pins(data.get("pins", {})),
            ps_preset=self.ps_preset(data.get("ps_preset", {}), family),
            notes=tuple(self.text(v, f"notes.{i}") for i, v in enumerate(self.items(data.get("notes", []), "notes"))),
            sources=self.sources,
            hls_uncertainty=self.uncertainty(data["clock"]),
        )
        if not board.budget.lut:
            raise self.fail("shell", "with this shell and headroom no LUT is left for an accelerator")
        return board

    def names(self, data: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        """Check that ``data`` is a mapping with the required fields and no unknown ones."""
        prefix = f"{where}." if where else ""
        if not isinstance(data, Mapping):
            raise self.fail(where, "expected a mapping of fields")
        for name in data:
            if name not in required + optional:
                known = nearest(str(name), required + optional)
                raise self.fail(f"{prefix}{name}", f"unknown field, {known}")
        for name in required:
            if name not in data:
                hint = ": say where these numbers come from" if name == "source" else ""
                raise self.fail(where or name, f"field {name!r} is missing{hint}")

    def text(self, value: Any, field: str, form: Form = _LINE) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.fail(field, f"expected text, not {_shown(value)}")
        text = " ".join(value.split())
        if not text.isprintable() or not form[0].fullmatch(text):
            raise self.fail(field, f"expected {form[1]}, not {_shown(text)}")
        return text

    def word(self, value: Any, field: str, form: Form) -> str:
        """As :meth:`text`, for what may look like a number in YAML: pin 35."""
        return self.text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value, field, form)

    def number(self, value: Any, field: str, least: float, most: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.fail(field, f"expected a number from {least:,} to {most:,}, not {_shown(value)}")
        return float(value)

    def items(self, value: Any, field: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.fail(field, "expected a list")
        return value

    def cite(self, data: Mapping[str, Any], where: str, fields: tuple[str, ...]) -> None:
        """Note the source of ``fields``: their own one in ``sources``, else the group's ``source``."""
        prefix = f"{where}." if where else ""
        own = data.get("sources", {})
        self.names(own, f"{prefix}sources", (), fields)
        group = self.text(data["source"], f"{prefix}source")
        for name in fields:
            self.sources[f"{prefix}{name}"] = self.text(own[name], f"{prefix}sources.{name}") if name in own else group

    def resources(self, data: Any, where: str, whole: Callable[[float], int]) -> Resources:
        """Amounts with memory blocks of any kind turned into RAMB18, rounded by ``whole`` to whole ones."""
        blocks = [name for name in BLOCKS if isinstance(data, Mapping) and name in data]
        if len(blocks) > 1:
            raise self.fail(f"{where}.{blocks[1]}", f"{blocks[0]} is there already: give memory blocks once")
        block = blocks[0] if blocks else "bram18"
        amounts = ("lut", "ff", block, "uram", "dsp")
        self.names(data, where, (*amounts, "source"), ("sources",))
        self.cite(data, where, amounts)
        self.sources[f"{where}.bram18"] = self.sources.pop(f"{where}.{block}")
        values: dict[str, int | None] = {}
        for name in amounts:
            value = data[name]
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise self.fail(f"{where}.{name}", f"expected a whole number, or null if unknown, not {_shown(value)}")
            values[name] = None if value is None else int(self.number(value, f"{where}.{name}", 0, MAX_AMOUNT))
        if values["lut"] is None:
            raise self.fail(f"{where}.lut", "must be known")
        memory = values.pop(block)
        bram18 = None if memory is None else whole(round(memory * BLOCKS[block], 6))
        return Resources(bram18=bram18, **{n: values[n] for n in RESOURCE_NAMES if n != "bram18"})

    def headroom(self, data: Any) -> dict[str, float]:
        if data is None:
            self.sources.update({f"headroom.{n}": HEADROOM_SOURCE for n in RESOURCE_NAMES})
            return dict(HEADROOM)
        self.names(data, "headroom", (*RESOURCE_NAMES, "source"), ("sources",))
        self.cite(data, "headroom", RESOURCE_NAMES)
        return {n: self.number(data[n], f"headroom.{n}", MIN_HEADROOM, 1) for n in RESOURCE_NAMES}

    def toolchain(self, data: Any, family: str) -> Toolchain:
        if not isinstance(data, Mapping):
            data = {"name": data}
        self.names(data, "toolchain", ("name",), ("nextpnr", "loader", "pll"))
        known = FAMILIES[family].toolchains
        name, arguments = data["name"], self.items(data.get("nextpnr", []), "toolchain.nextpnr")
        if name not in known:
            raise self.fail("toolchain", f"{_shown(name)} does not build for {family}, expected {' or '.join(known)}")
        if bool(arguments) != (name == "open"):
            raise self.fail(
                "toolchain", "nextpnr arguments that pick the device go with the toolchain open, and only there"
            )
        nextpnr = tuple(self.word(a, f"toolchain.nextpnr.{i}", _ARGUMENT) for i, a in enumerate(arguments))
        loader = data.get("loader")
        if loader is not None:
            loader = self.text(loader, "toolchain.loader", _NAME)
        pll = data.get("pll", "pad")
        if pll not in ("pad", "core") or ("pll" in data and family != "ice40"):
            raise self.fail("toolchain.pll", "expected pad or core, for ice40 only: where the oscillator's pin leads")
        return Toolchain(cast(ToolchainName, name), nextpnr, loader, pll == "core")

    def inputs(self, data: Any) -> tuple[ClockInput, ...]:
        inputs: list[ClockInput] = []
        for i, item in enumerate(self.items(data, "inputs")):
            where = f"inputs.{i}"
            self.names(item, where, ("name", "mhz", "pin", "source"))
            name = self.text(item["name"], f"{where}.name", _PIN)
            if name in {other.name for other in inputs}:
                raise self.fail(f"{where}.name", f"{name!r} is there twice")
            pin = None if item["pin"] is None else self.word(item["pin"], f"{where}.pin", _PIN)
            inputs.append(ClockInput(name, self.number(item["mhz"], f"{where}.mhz", *MHZ), pin))
            self.sources[f"inputs.{name}"] = self.text(item["source"], f"{where}.source")
        return tuple(inputs)

    def pins(self, data: Any) -> dict[str, str]:
        if data == {}:
            return {}
        self.names(data, "pins", ("source",), tuple(data) if isinstance(data, Mapping) else ())
        source = self.text(data["source"], "pins.source")
        pins = {
            self.text(name, f"pins.{name}", _PIN): self.word(pin, f"pins.{name}", _PIN)
            for name, pin in data.items()
            if name != "source"
        }
        self.sources.update({f"pins.{name}": source for name in pins})
        return pins

    def ps_preset(self, data: Any, family: Family) -> dict[str, str]:
        if data == {}:
            return {}
        if family.ps is None:
            raise self.fail("ps_preset", "this family has no processor to set up")
        self.names(data, "ps_preset", ("source",), tuple(data) if isinstance(data, Mapping) else ())
        self.sources["ps_preset"] = self.text(data["source"], "ps_preset.source")
        return {
            self.text(name, f"ps_preset.{name}", _SETTING): self.word(value, f"ps_preset.{name}", _VALUE)
            for name, value in data.items()
            if name != "source"
        }

    def clock(
        self, data: Any, family: str, toolchain: Toolchain, inputs: tuple[ClockInput, ...]
    ) -> tuple[ClockGenerator, float]:
        """The clock generator and the default frequency."""
        kinds = FAMILIES[family].clocks
        kind = data.get("kind") if isinstance(data, Mapping) else None
        if kind is not None and kind not in kinds:
            raise self.fail("clock.kind", f"{_shown(kind)} does not exist in {family}, expected {' or '.join(kinds)}")
        fields = ("reference_mhz", "pll_mhz") if kind in PS else ()
        optional = (*fields[1:], "max_mhz", "uncertainty_percent", "sources")
        self.names(data, "clock", ("kind", "default_mhz", *fields[:1], "source"), optional)
        if kind is None:
            raise self.fail("clock.kind", f"expected {' or '.join(kinds)}")
        if (kind == "xrt") != (toolchain.name == "vitis"):
            raise self.fail("clock.kind", "the shell's clock (xrt) and the toolchain vitis belong together")
        mhz = {n: self.number(data[n], f"clock.{n}", *MHZ) for n in data if n.endswith("_mhz")}
        self.cite(data, "clock", ("kind", *mhz, *(n for n in ("uncertainty_percent",) if n in data)))
        generator = self.generator(kind, mhz, FAMILIES[family].primitive, inputs)
        default = mhz["default_mhz"]
        try:
            made = generator.resolve(default).mhz
        except InputError as error:
            raise self.fail("clock.default_mhz", str(error)) from error
        if made != default:
            raise self.fail("clock.default_mhz", f"{default!r} MHz cannot be made, the next lower is {made!r}")
        return generator, default

    def uncertainty(self, clock: Mapping[str, Any]) -> float | None:
        value = clock.get("uncertainty_percent")
        return None if value is None else self.number(value, "clock.uncertainty_percent", 0, 90)

    def generator(
        self, kind: str, mhz: Mapping[str, float], primitive: Primitive, inputs: tuple[ClockInput, ...]
    ) -> ClockGenerator:
        if kind in PS:
            ps = PS[kind]
            self.sources.setdefault("clock.pll_mhz", ps.pll_source)
            self.sources.setdefault("clock.max_mhz", ps.max_source)
            pll = mhz.get("pll_mhz", ps.pll_mhz)
            factor = pll * ps.vco_factor / mhz["reference_mhz"]
            if not math.isclose(factor, round(factor), rel_tol=1e-4):
                raise self.fail(
                    "clock.reference_mhz", f"the IO PLL cannot make {pll:g} MHz of it: not a whole multiple"
                )
            return PsClock(kind, mhz.get("max_mhz", ps.max_mhz), mhz["reference_mhz"], pll)
        if kind == "xrt":
            self.sources.setdefault("clock.max_mhz", "frequency_table in the clock driver of XRT")
            return XrtClock(kind, mhz.get("max_mhz", XRT_MHZ[-1]))
        if not inputs:
            raise self.fail("clock.kind", f"{kind} needs a clock input: give one under inputs")
        low, high = primitive.input_mhz
        if not low <= inputs[0].mhz <= high:
            raise self.fail("inputs.0.mhz", f"{primitive.name} takes {low:g} to {high:g} MHz")
        self.sources.setdefault("clock.max_mhz", primitive.source)
        return PllClock(kind, mhz.get("max_mhz", primitive.output_mhz[1]), inputs[0].mhz, primitive)


def _shown(value: Any) -> str:
    """A value as a message quotes it: in one line, not longer than a line."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
