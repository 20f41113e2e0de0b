"""Ruled tables as the tools print them."""

from __future__ import annotations

from collections.abc import Sequence


def hls_table(head: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], indent: str = "") -> list[str]:
    """A table as HLS prints it: the head centred, numbers right-aligned, a rule after each group of rows."""
    rows = [row for group in groups for row in group]
    widths = [max(len(head[i]) + 1, *(len(row[i]) for row in rows)) for i in range(len(head))]
    widths[0] += 2
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = [rule, "|" + "|".join(name.center(width) for name, width in zip(head, widths, strict=True)) + "|", rule]
    for group in groups:
        for row in group:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("|" + "|".join(cells) + "|")
        lines.append(rule)
    return [indent + line for line in lines]


def vivado_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as Vivado prints it: one blank at each side of a cell; the first column keeps its indentation."""
    widths = [max(len(head[i]), *(len(row[i]) for row in rows), 0) for i in range(len(head))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [rule, "| " + " | ".join(name.center(width) for name, width in zip(head, widths, strict=True)) + " |"]
    lines.append(rule)
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, rule] if rows else lines
