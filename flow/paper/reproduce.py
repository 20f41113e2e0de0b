"""``flow reproduce iccad19``: what the reference paper claims for its designs, beside the model and its correction.

Further columns (what other backends make of the same networks) come in as ``Column`` values; nothing here knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.errors import InputError
from flow.paper.logged import LOGGED, LoggedDesign
from flow.paper.model import CLOCK_MHZ, CORRECTED, PAPER, Evaluation, HardwareModel, evaluate
from flow.paper.solve import add_dense, least_luts, solve
from flow.report.text import table

Values = Mapping[str, float | None]
"""Figures of one design by name; None is unknown."""

ROWS = {
    "lut": "LUTs, largest group",
    "images_per_s": "images/s, groups take turns",
    "lut_resident": "LUTs, all layers resident",
    "images_per_s_resident": "images/s, all resident",
    "lut_dense": "LUTs of the dense layers",
    "lut_least": "fewest LUTs for the images/s",
    "lut_least_resident": "the same, all resident, dense counted",
}
"""Names and titles of the known figures, in the order of the rows. A column may bring others, which follow."""


@dataclass(frozen=True)
class Column:
    """One column of the comparison.

    ``source`` says where its numbers come from (claimed, modelled, predicted, hls, synthesized, routed). ``values``
    gives them for one of the designs, whose candidate is ``to_candidate(logged.design)``, by the names in ``ROWS`` or
    others. ``lut`` is what must keep the limit, ``images_per_s`` what must exceed it. ``note`` is printed below.
    """

    name: str
    source: str
    values: Callable[[LoggedDesign], Values]
    note: str = ""


def reproduce(extra: Sequence[Column] = (), designs: Sequence[LoggedDesign] = LOGGED) -> dict[str, Any]:
    """Claimed, ``paper``, ``corrected`` and ``extra`` columns for the designs, as JSON.

    ``fits`` says by column whether a design keeps its limits, None where that is unknown. Raises InputError for two
    columns of one name.
    """
    columns = (*own_columns(), *extra)
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise InputError(f"two columns of the comparison have the same name: {', '.join(names)}")
    return {
        "schema": 1,
        "source": "arXiv:1911.00105",
        "clock_mhz": CLOCK_MHZ,
        "columns": [{"name": c.name, "source": c.source, "note": c.note} for c in columns],
        "designs": [_design(logged, columns) for logged in designs],
    }


def own_columns() -> tuple[Column, ...]:
    """The columns that need nothing but the paper's model."""
    return (
        Column("claimed", "claimed", _claimed, "arXiv:1911.00105 and its logs; never synthesized"),
        Column(
            "paper",
            "modelled",
            lambda logged: _modelled(logged, PAPER),
            "the paper's model as it was: multipliers by the integer bits of the activation only, as many rows as "
            "input channels, groups take turns for free, dense layers free",
        ),
        Column(
            "corrected",
            "modelled",
            lambda logged: _modelled(logged, CORRECTED),
            "same tiles and groups; multipliers by all bits of both operands, real image rows, dense layers in 8 bits",
        ),
        Column(
            "corrected, re-tiled",
            "modelled",
            _solved_again,
            "the corrected model with the tiles and groups that give it the most images/s within the LUT limit",
        ),
    )


def reproduce_text(extra: Sequence[Column] = (), designs: Sequence[LoggedDesign] = LOGGED) -> str:
    """:func:`reproduce` as a table a design, with what the columns mean below."""
    data = reproduce(extra, designs)
    parts = [f"Designs of {data['source']} at {data['clock_mhz']:g} MHz (an assumed clock)"]
    head = ["", *(c["name"] for c in data["columns"])]
    for design in data["designs"]:
        values = [design["values"][c["name"]] for c in data["columns"]]
        known = {name for column in values for name, value in column.items() if value is not None}
        names = [n for n in ROWS if n in known] + sorted(known - ROWS.keys())
        rows = [["source", *(c["source"] for c in data["columns"])]]
        rows += [[ROWS.get(n, n), *(_number(v.get(n)) for v in values)] for n in names]
        rows.append(["keeps its limits", *(_yes(design["fits"][c["name"]]) for c in data["columns"])])
        limits = design["limits"]
        title = (
            f"{design['name']}, {design['title']}: at most {limits['lut']:,} LUTs, "
            f"more than {limits['images_per_s']:g} images/s\n"
            f"{design['network']}\ntiles (Tn,Tm), | = next group: {design['tiling']}"
        )
        parts.append(f"{title}\n\n{table(head, rows, right=range(1, len(head)))}")
    notes = [f"{c['name']}: {c['note']}" for c in data["columns"] if c["note"]]
    return "\n\n".join([*parts, "\n".join(notes)])


def _design(logged: LoggedDesign, columns: Sequence[Column]) -> dict[str, Any]:
    values = {column.name: dict(column.values(logged)) for column in columns}
    return {
        "name": logged.name,
        "title": logged.title,
        "network": str(logged.design.network),
        "tiling": logged.design.tiling,
        "limits": {"lut": logged.limits.lut, "images_per_s": logged.limits.throughput_per_s},
        "values": values,
        "fits": {name: _fits(logged, found) for name, found in values.items()},
    }


def _fits(logged: LoggedDesign, values: Values) -> bool | None:
    lut, rate = values.get("lut"), values.get("images_per_s")
    if lut is None or rate is None:
        return None
    return lut <= logged.limits.lut and rate > logged.limits.throughput_per_s


def _claimed(logged: LoggedDesign) -> Values:
    return {"lut": logged.claimed_lut, "images_per_s": logged.claimed_per_s}


def _modelled(logged: LoggedDesign, model: HardwareModel) -> Values:
    values = _evaluated(logged, evaluate(logged.design, model))
    if model == PAPER:
        return values  # its dense layers are free
    counted = model.with_options(dense=True)
    whole = evaluate(add_dense(logged.design, model), counted)
    return {**values, "lut_dense": sum(whole.luts[len(logged.design.network.layers) :])}


def _solved_again(logged: LoggedDesign) -> Values:
    network, limits = logged.design.network, logged.limits
    design = solve(network, limits, CORRECTED)
    values = {} if design is None else _evaluated(logged, evaluate(design, CORRECTED))
    whole = CORRECTED.with_options(resident=True, dense=True)
    return {
        **values,
        "lut_least": least_luts(network, limits.throughput_per_s, CORRECTED),
        "lut_least_resident": least_luts(network, limits.throughput_per_s, whole),
    }


def _evaluated(logged: LoggedDesign, found: Evaluation) -> dict[str, float | None]:
    resident = CLOCK_MHZ * 1e6 / max(found.cycles_by_layer)
    return {
        "lut": found.lut,
        "images_per_s": found.throughput_per_s,
        "lut_resident": found.lut_resident,
        "images_per_s_resident": resident,
    }


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) or value >= 1e4 else f"{value:,.1f}"


def _yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"
