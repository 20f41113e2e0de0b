"""Reading the tools' text reports: lines with their numbers for errors, ruled tables, and numbers.

Columns are found by the names in the table's head, never by their place. A table that is cut off, whose rows do
not fit it or that has a row twice is an error: a report is read whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flow.errors import InputError

MAX_BYTES = 256 * 2**20
"""Largest report that is read; timing reports with ten thousand paths have some 50 MB."""

_RULE = re.compile(r"\+[-+]*-\+|\+-\+")


@dataclass(frozen=True)
class Text:
    """The lines of a report and the path that errors name."""

    path: Path
    lines: tuple[str, ...]

    def error(self, problem: str, line: int | None = None) -> InputError:
        """An InputError that names the file, and the line with this index if there is one."""
        where = str(self.path) if line is None else f"{self.path}:{line + 1}"
        return InputError(f"{where}: {problem}")

    def find(self, pattern: str, start: int = 0, end: int | None = None) -> re.Match[str] | None:
        """The first line from ``start`` that ``pattern`` matches from its beginning; None if there is none."""
        index = self.index(pattern, start, end)
        return None if index is None else re.match(pattern, self.lines[index])

    def index(self, pattern: str, start: int = 0, end: int | None = None) -> int | None:
        """The index of the first such line."""
        compiled = re.compile(pattern)
        for i in range(start, len(self.lines) if end is None else end):
            if compiled.match(self.lines[i]):
                return i
        return None

    def only(self, pattern: str, what: str, start: int = 0, end: int | None = None) -> int:
        """The index of the one line that ``pattern`` matches. Raises InputError if it is missing or there twice."""
        first = self.index(pattern, start, end)
        if first is None:
            raise self.error(f"no {what}: the report is incomplete or of another kind")
        second = self.index(pattern, first + 1, end)
        if second is not None:
            raise self.error(f"a second {what}, the first is in line {first + 1}", second)
        return first

    def after(self, line: int) -> int:
        """The index of the next line that is not blank. Raises InputError at the end of the report."""
        for i in range(line + 1, len(self.lines)):
            if self.lines[i].strip():
                return i
        raise self.error("the report ends here: it is incomplete", line)


def read_bytes(path: Path) -> bytes:
    """The content of a report. Raises InputError if it can't be read, is empty, too large or binary."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a report")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: {size / 2**20:.0f} MiB is too large for a report")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read report {path}: {error.strerror}") from error
    if not data.strip():
        raise InputError(f"{path}: the report is empty")
    if b"\0" in data:
        raise InputError(f"{path}: binary data, not a report")
    return data


def text_of(path: Path, data: bytes) -> Text:
    """The lines of ``data``. Bytes that are not UTF-8 (a host or user name in Latin-1) are replaced."""
    lines = data.decode("utf-8", errors="replace").split("\n")
    return Text(path, tuple(line.rstrip("\r") for line in lines))


@dataclass(frozen=True)
class Row:
    """One row of a table: the index of its line, and its cells with their leading blanks (which mean depth)."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A ruled table; heads that span several lines or columns are joined to one name a column."""

    text: Text
    line: int
    end: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def column(self, *names: str) -> int:
        """The index of the one column called one of ``names``. Raises InputError if there is none or several."""
        found = [i for i, name in enumerate(self.columns) if name in names]
        if len(found) != 1:
            problem = "no column" if not found else "more than one column"
            raise self.text.error(f"{problem} {' or '.join(names)} in this table", self.line)
        return found[0]

    def optional(self, *names: str) -> int | None:
        """As :meth:`column`, but None if there is none."""
        return self.column(*names) if any(name in names for name in self.columns) else None

    def row(self, *names: str) -> Row | None:
        """The outermost row whose first cell is one of ``names``, a footnote star left out. None if there is none.

        Raises InputError if there are several: the report is damaged, or two were joined.
        """
        found = [row for row in self.rows if _label(row.cells[0]) in names]
        if len(found) > 1:
            raise self.text.error(f"a second row {' or '.join(names)}", found[1].line)
        return found[0] if found else None


def _label(cell: str) -> str:
    """The name in a first cell, without the footnote star; inner rows keep their depth and match nothing."""
    if cell.startswith("  "):
        return ""
    return re.sub(r"\s*\*$", "", cell.strip())


def read_table(text: Text, line: int, what: str, head: bool = True) -> Table:
    """The table that begins at ``line``. Raises InputError if none does or if it is damaged.

    ``head`` tells whether the lines up to the second rule are column names; a table without them has rows only.
    """
    block = line
    while block < len(text.lines) and text.lines[block].lstrip()[:1] in ("+", "|"):
        block += 1
    lines = [text.lines[i].rstrip() for i in range(line, block)]
    if not lines or not _rule(lines[0]):
        raise text.error(f"no table of {what} here", min(line, len(text.lines) - 1))
    if len(lines) < 3 or not _rule(lines[-1]):
        raise text.error(f"the table of {what} is cut off", block - 1)
    # The last rule has every column; the first has fewer where heads span columns.
    closing = lines[-1]
    edges = [i for i, c in enumerate(closing) if c == "+"]
    width = len(edges) - 1
    first_row = 1
    columns: tuple[str, ...] = ("",) * width
    if head:
        first_row = next((i for i in range(1, len(lines)) if _rule(lines[i])), len(lines)) + 1
        if lines[first_row - 1] != closing:
            raise text.error(f"the head of the table of {what} does not fit its rows", line + first_row - 1)
        columns = _head(lines[1 : first_row - 1], edges)
    rows = []
    for i in range(first_row, len(lines)):
        if _rule(lines[i]):
            if lines[i] != closing:
                raise text.error(f"a rule that does not fit the table of {what}", line + i)
            continue
        cells = lines[i].strip()[1:-1].split("|")
        if not lines[i].endswith("|") or len(cells) != width:
            raise text.error(f"a row with {len(cells)} cells in the table of {what}, not {width}", line + i)
        rows.append(Row(line + i, tuple(cells)))
    return Table(text, line, block, columns, tuple(rows))


def _rule(line: str) -> bool:
    """Whether ``line`` is a rule of a table, as in +----+---+."""
    return _RULE.fullmatch(line.strip()) is not None


def _head(lines: Sequence[str], edges: Sequence[int]) -> tuple[str, ...]:
    """Names of the columns between ``edges``: the text of each head line above them, a spanning cell counts for all."""
    names = [""] * (len(edges) - 1)
    for line in lines:
        cuts = [edge for edge in edges if edge < len(line) and line[edge] in "|+"]
        for left, right in pairwise(cuts):
            cell = " ".join(line[left + 1 : right].split())
            if not cell.strip("-"):
                continue
            for i, edge in enumerate(edges[:-1]):
                if left <= edge and edges[i + 1] <= right:
                    names[i] = f"{names[i]} {cell}".strip()
    return tuple(names)


def sections(text: Text) -> dict[str, tuple[int, int]]:
    """Title -> (first line after the heading, end) of a Vivado report's numbered sections.

    The table of contents must list them: a report that was cut off lacks the last ones. Raises InputError then.
    """
    numbered = re.compile(r"(\d+(?:\.\d+)*)\.? (\S.*)")
    contents = text.only(r"Table of Contents$", "table of contents")
    listed = []
    for i in range(contents + 2, len(text.lines)):
        match = numbered.fullmatch(text.lines[i].rstrip())
        if not match:
            break
        listed.append((match[1], match[2]))
    starts = []
    for i in range(contents + 2 + len(listed), len(text.lines) - 1):
        match = numbered.fullmatch(text.lines[i].rstrip())
        if match and re.fullmatch(r"-{3,}", text.lines[i + 1].rstrip()):
            starts.append((i, match[1], match[2]))
    found = [(number, title) for _, number, title in starts]
    if not listed or found != listed:
        missing = [title for number, title in listed if (number, title) not in found]
        problem = f"no section {missing[0]!r}" if missing else "its sections are not those of its table of contents"
        raise text.error(f"{problem}: the report is incomplete or damaged", contents)
    ends = [start for start, _, _ in starts[1:]] + [len(text.lines)]
    titles = [title for _, _, title in starts]
    if len(set(titles)) != len(titles):
        raise text.error("a section is there twice", contents)
    return {title: (start + 2, end) for (start, _, title), end in zip(starts, ends, strict=True)}


def header(text: Text) -> dict[str, str]:
    """``| Key : value`` lines at the top of a Vivado report. Raises InputError if it has two such headers."""
    fields: dict[str, str] = {}
    for i, line in enumerate(text.lines):
        match = re.match(r"\| ([A-Z][A-Za-z ]*?) *: (.*)", line)
        if match:
            if match[1] in fields:
                raise text.error(f"a second {match[1]!r}: more than one report in the file", i)
            fields[match[1]] = match[2].strip()
    return fields


def whole(text: Text, cell: str, what: str, line: int) -> int | None:
    """A count; None for what the tools print where they don't know. Raises InputError on anything else."""
    value = cell.strip()
    if value in UNKNOWN:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise text.error(f"{what} is {value!r}, not a whole number", line)
    return int(value)


def decimal(text: Text, cell: str, what: str, line: int) -> float | None:
    """A decimal number; None for what the tools print where there is none. Raises InputError on anything else."""
    value = cell.strip()
    if value in UNKNOWN:
        return None
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", value):
        raise text.error(f"{what} is {value!r}, not a number", line)
    return float(value)


def period(text: Text, cell: str, what: str, line: int) -> float | None:
    """A clock period. Raises InputError if it is not positive, or not a number."""
    value = decimal(text, cell, what, line)
    if value is not None and value <= 0:
        raise text.error(f"{what} is {cell.strip()}, not a period", line)
    return value


UNKNOWN = frozenset(("", "?", "-", "undef", "NA", "N/A", "inf"))
"""What the tools print for a number they don't have: HLS ?, - and undef, Vivado NA, and inf without a path."""


def ordered(text: Text, least: int | None, most: int | None, what: str, line: int) -> tuple[int | None, int | None]:
    """(least, most). Raises InputError if they are the wrong way round: a damaged report or a confused column."""
    if least is not None and most is not None and least > most:
        raise text.error(f"least {what} {least} is more than most {most}", line)
    return least, most
