"""The table of data sets, as plain text."""

from __future__ import annotations

from collections.abc import Iterable

from flow.network.datasets import DatasetInfo

_HEAD = ("name", "title", "sample", "classes", "input format", "samples")


def datasets_table(infos: Iterable[DatasetInfo]) -> str:
    """One row a data set, columns aligned; then a line for the source and the preparation of each."""
    infos = list(infos)
    rows = [_HEAD] + [
        (
            i.name,
            i.title,
            "x".join(str(n) for n in i.shape),
            str(i.classes),
            str(i.input_format),
            i.split.split(";")[0],
        )
        for i in infos
    ]
    widths = [max(len(row[c]) for row in rows) for c in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"{i.name}: {i.source}. Input: {i.preparation}." for i in infos]
    return "\n".join([*lines, "", *notes]) if infos else "no data sets"
