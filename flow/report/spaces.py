"""Search spaces as text and JSON."""

from __future__ import annotations

from typing import Any

from flow.report.text import table
from flow.space.space import SearchSpace

TITLE_WIDTH = 72
"""Columns a title may take for the table to fit 120."""


def spaces_table(spaces: list[SearchSpace]) -> str:
    """One line a space: name, decisions, size and title."""
    rows = [[s.name, str(len(s.decisions)), f"{s.size:.1e}", _title(s)] for s in spaces]
    return table(["space", "decisions", "points", "what it is"], rows, right=(1, 2))


def _title(space: SearchSpace) -> str:
    base, _, variant = space.name.partition("+")
    title = f"{base} with {variant.replace('-', ' and ')}" if variant else space.file.title
    return title if len(title) <= TITLE_WIDTH else title[: TITLE_WIDTH - 1] + "…"


def space_text(space: SearchSpace) -> str:
    """All decisions of one space with their options."""
    head = f"{space.name}: {space.file.title}\nsource: {space.file.source}\npoints: {space.size:.3e}\n\n"
    rows = [[d.name, ", ".join(_option(o) for o in d.options)] for d in space.decisions]
    return head + table(["decision", "options"], rows)


def space_dict(space: SearchSpace) -> dict[str, Any]:
    """The space as JSON."""
    return {
        "name": space.name,
        "title": space.file.title,
        "source": space.file.source,
        "points": space.size,
        "decisions": [{"name": d.name, "options": [_option(o) for o in d.options]} for d in space.decisions],
    }


def _option(option: Any) -> str:
    return "x".join(map(str, option)) if isinstance(option, tuple) else str(option)
