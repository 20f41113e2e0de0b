"""Data sets as text and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flow.network.datasets import DatasetInfo
from flow.report.text import table


def datasets_table(infos: Iterable[DatasetInfo]) -> str:
    """One row a data set; then a line for the source and the preparation of each."""
    infos = list(infos)
    if not infos:
        return "no data sets"
    rows = [[i.name, i.title, _shape(i), str(i.classes), str(i.input_format), i.split.partition(";")[0]] for i in infos]
    notes = [f"{i.name}: {i.source}. Input: {i.preparation}." for i in infos]
    head = ["data set", "what it is", "sample", "classes", "input format", "samples"]
    return "\n".join([table(head, rows, right=(3,)), "", *notes])


def dataset_text(info: DatasetInfo) -> str:
    """All that is known of one data set, a line a fact."""
    facts = {
        "data set": f"{info.name}: {info.title}",
        "source": info.source,
        "sample": _shape(info),
        "classes": f"{info.classes}: {', '.join(info.class_names)}",
        "samples": info.split,
        "input": f"{info.input_format}, {info.preparation}",
    }
    return "\n".join(f"{name:<10}{value}" for name, value in facts.items())


def dataset_json(info: DatasetInfo) -> dict[str, Any]:
    """One data set as JSON values; the input format as text."""
    return {
        "name": info.name,
        "title": info.title,
        "shape": list(info.shape),
        "classes": info.classes,
        "class_names": list(info.class_names),
        "input_format": str(info.input_format),
        "source": info.source,
        "split": info.split,
        "preparation": info.preparation,
    }


def datasets_json(infos: Iterable[DatasetInfo]) -> list[dict[str, Any]]:
    """All data sets as JSON values."""
    return [dataset_json(info) for info in infos]


def _shape(info: DatasetInfo) -> str:
    return "x".join(str(n) for n in info.shape)
