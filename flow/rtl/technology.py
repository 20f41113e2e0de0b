"""What Yosys synthesizes for: its script, and what each kind of cell takes, by device family.

LUTs are those of the device: of six inputs in AMD parts, of four in ECP5 and iCE40. A cell that is in no table is an
error, so that nothing counts as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from flow.errors import InputError, ToolError
from flow.resources import Resources

Family = Literal["xc7", "xcup", "ecp5", "ice40"]
FAMILIES: tuple[Family, ...] = get_args(Family)

NETLIST = "netlist.json"
"""The file that a synthesis script writes."""

TOP_NAME = "part"
"""What the synthesized module is called in the netlist, whatever its name and parameters were."""

WHOLE_UNTIL_MAPPED = "*flow_add*"
"""Modules left whole until adders are mapped: ``alumacc`` would merge chains of them into compressor trees, which
take 23 LUTs a multiply-accumulate of 4 x 4 bits instead of 14."""

WHOLE = "*flow_rom*"
"""Modules left whole to the end: ABC maps a ROM of 72 words to 2 LUTs a bit by itself, to 4 among other logic."""


@dataclass(frozen=True)
class Technology:
    """A device family.

    ``synth`` is Yosys' command, ``dsp_flag`` and ``no_dsp_flag`` what lets it use multiplier blocks or not, ``split``
    the label of its script before which adders are whole. The tables give what a cell of each type takes; ``free``
    are cells that take nothing that is counted. ``lut_name`` says what a LUT is here.
    """

    family: Family
    title: str
    lut_name: str
    synth: str
    split: str
    dsp_flag: str
    no_dsp_flag: str
    luts: Mapping[str, int]
    ffs: Mapping[str, int]
    bram18: Mapping[str, float]
    uram: Mapping[str, int]
    dsps: Mapping[str, int]
    free: frozenset[str]


# LUTs as memory take as many as they have address halves and data ports: UG474 and UG574, chapters on CLBs. SRLs take
# one. Carry chains and wide multiplexers are part of the slices of the LUTs. What a placer does is not counted: it puts
# pairs of small LUTs into one, and leads some registers through a LUT into a carry.
_AMD_LUTS = MappingProxyType({
    "INV": 1, "SRL16E": 1, "SRLC32E": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4,
    "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
})  # fmt: skip
_AMD_FFS = MappingProxyType(
    dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1", "LDCE", "LDPE"), 1)
)
_AMD_BRAM = MappingProxyType({"RAMB18E1": 1.0, "RAMB36E1": 2.0, "RAMB18E2": 1.0, "RAMB36E2": 2.0})
_AMD_FREE = frozenset(("CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "BUFG", "IBUF", "OBUF", "VCC", "GND"))


def _amd(family: Family, title: str) -> Technology:
    return Technology(
        family, title, "LUT6", f"synth_xilinx -family {family} -abc9 -flatten -noiopad -noclkbuf", "map_memory", "",
        "-nodsp", _AMD_LUTS, _AMD_FFS, _AMD_BRAM, {"URAM288": 1}, {"DSP48E1": 1, "DSP48E2": 1}, _AMD_FREE,
    )  # fmt: skip


TECHNOLOGIES: Mapping[Family, Technology] = MappingProxyType({
    "xc7": _amd("xc7", "7-series"),
    "xcup": _amd("xcup", "UltraScale+"),
    # A carry cell is two LUTs (netlist.ecp5_luts adds the ends of chains). A 16x4 RAM takes four, and two more whose
    # inputs its write port occupies: nextpnr counts those as used, too. Multiplexers of LUTs lie between them.
    "ecp5": Technology(
        "ecp5", "ECP5", "LUT4", "synth_ecp5 -abc9", "map_ram", "", "-nodsp",
        {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}, {"TRELLIS_FF": 1}, {"DP16KD": 1.0, "PDPW16KD": 1.0}, {},
        {"MULT18X18D": 1}, frozenset(("PFUMX", "L6MUX21", "GSR", "TRELLIS_IO", "DCCA", "EHXPLLL")),
    ),
    # A logic cell has a LUT, a flip-flop and a carry: netlist.ice40_logic_cells packs them. Five 4-kbit blocks count
    # as one RAMB18, as in board files.
    "ice40": Technology(
        "ice40", "iCE40", "logic cell", "synth_ice40 -abc9 -device u", "map_ram", "-dsp", "",
        {"SB_LUT4": 1, "SB_CARRY": 1},
        {f"SB_DFF{edge}{enable}{reset}": 1 for edge in ("", "N") for enable in ("", "E")
         for reset in ("", "SR", "R", "SS", "S")},
        {f"SB_RAM40_4K{read}{write}": 0.2 for read in ("", "NR") for write in ("", "NW")}, {},
        {"SB_MAC16": 1}, frozenset(("SB_GB", "SB_IO", "SB_PLL40_CORE", "SB_PLL40_PAD", "SB_HFOSC", "SB_RGBA_DRV")),
    ),
})  # fmt: skip


def technology(family: str) -> Technology:
    """The technology of a family. Raises InputError for an unknown one."""
    found = TECHNOLOGIES.get(family) if family in FAMILIES else None
    if not isinstance(found, Technology):
        raise InputError(f"unknown family {family!r}, known: {', '.join(FAMILIES)}")
    return found


def script_for(
    tech: Technology,
    sources: Sequence[str],
    top: str,
    parameters: Mapping[str, str],
    *,
    dsp: bool,
    boxes: Iterable[str] = (),
) -> str:
    """The script that synthesizes ``top``, flattened, and writes it to ``NETLIST`` as module ``TOP_NAME``.

    ``parameters`` are in Yosys' notation: bits as ``8'b00000001``, texts quoted. ``boxes`` are Verilog files of modules
    of which only the ports are known: they stay as instances.
    """
    # ``hierarchy`` takes no texts, ``chparam`` does, for modules that are read at once.
    texts = any(value.startswith('"') for value in parameters.values())
    option = "-set" if texts else "-chparam"
    chosen = " ".join(f"{option} {name} {value}" for name, value in parameters.items())
    set_first = [f"chparam {chosen} {top}", f"hierarchy -top {top}"]
    synth = " ".join(f"{tech.synth} {tech.dsp_flag if dsp else tech.no_dsp_flag}".split())
    stubs = " ".join(boxes)
    lines = [
        f"read_verilog -sv {'' if texts else '-defer '}{' '.join(sources)}",
        *([f"read_verilog -lib {stubs}"] if stubs else []),
        *(set_first if texts else [f"hierarchy -top {top} {chosen}".rstrip()]),
        f"rename -top {TOP_NAME}",
        f"setattr -mod -set keep_hierarchy 1 {WHOLE_UNTIL_MAPPED} {WHOLE}",
        f"{synth} -top {TOP_NAME} -run begin:{tech.split}",
        f"setattr -mod -unset keep_hierarchy {WHOLE_UNTIL_MAPPED}",
        "flatten",
        # iCE40 has no LUT RAM: Yosys refuses the wish for it, so there it decides by itself.
        *(["setattr -unset ram_style a:ram_style=distributed"] if tech.family == "ice40" else []),
        f"{synth} -top {TOP_NAME} -run {tech.split}:",
        f"setattr -mod -unset keep_hierarchy {WHOLE}",
        "flatten",
        "clean",
        # What is of no use to those who read the netlist, and is most of it.
        "delete t:$scopeinfo",
        "attrmap -remove src -remove hdlname",
        # Library cells are written, too: without them it would not say which ports of cells are outputs.
        f"write_json {NETLIST}",
    ]
    return "\n".join(lines) + "\n"


def resources_of(cells: Mapping[str, int], tech: Technology) -> Resources:
    """What cells take, ``cells`` being their number by type; how they share slices is not known here.

    Raises ToolError for a cell that is not known, which must not count as 0.
    """
    tables: tuple[Mapping[str, float], ...] = (tech.luts, tech.ffs, tech.bram18, tech.uram, tech.dsps)
    unknown = [name for name in cells if name not in tech.free and not any(name in table for table in tables)]
    if unknown:
        shown = ", ".join(re.sub(r"[^\w$]", "?", name) for name in sorted(unknown)[:4])
        raise ToolError(f"Yosys used cells whose size on {tech.title} is not known: {shown}")
    lut, ff, bram, uram, dsp = (
        round(sum(count * table[name] for name, count in cells.items() if name in table), 6) for table in tables
    )
    return Resources(lut, ff, bram, uram, dsp)
