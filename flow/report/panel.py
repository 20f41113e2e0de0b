"""The live panel of a search, as a rich renderable. Only imported on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flow.report.progress import State
from flow.report.winners import accuracy, amount, duration

REASONS = 4
"""How many reasons of rejection are spelled out."""


def panel(state: State) -> RenderableType:
    """What was tried, refused and found so far, and how long it will take."""
    summary = state.summary
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(ratio=1)
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(
            total=max(summary.trials, 1),
            completed=min(state.tried, summary.trials),
            width=30,
            complete_style="blue",
            finished_style="green",
        ),
        Text(f"{state.tried} of {summary.trials}" + (f", {len(state.failures)} failed" if state.failures else "")),
    )
    facts.add_row("candidates", bar)
    facts.add_row("rejected", _rejected(state))
    facts.add_row("best", Text(state.best_text, style="bold green" if state.best else ""))
    facts.add_row("front", Text(f"{state.front_size} network{'s' if state.front_size != 1 else ''}"))
    facts.add_row("time", Text(f"{duration(state.elapsed_s)} elapsed, {state.left_text}"))
    workers = f"{summary.jobs} worker{'s' if summary.jobs != 1 else ''}"
    facts.add_row("now", Text(state.stage or f"training, {workers}", overflow="ellipsis", no_wrap=True))
    if summary.limits:
        facts.add_row("limits", Text(summary.limits))
    parts: list[RenderableType] = [facts]
    if state.recent:
        parts += [Text(""), _recent(state)]
    return Panel(
        Group(*parts),
        title=Text(summary.title, style="bold"),
        title_align="left",
        border_style="blue",
        padding=(0, 1),
    )


def _rejected(state: State) -> Text:
    total = sum(state.rejected.values())
    if not total:
        return Text("none")
    first = sorted(state.rejected.items(), key=lambda item: (-item[1], item[0]))
    why = [f"{reason} {count:,}" for reason, count in first[:REASONS]]
    if len(first) > REASONS:
        why.append(f"others {sum(count for _, count in first[REASONS:]):,}")
    return Text(f"{total:,}: {', '.join(why)}", overflow="ellipsis", no_wrap=True)


def _recent(state: State) -> Table:
    rows = Table.grid(padding=(0, 2))
    for name in ("number", "rung", "accuracy", "LUT", ""):
        rows.add_column(justify="right" if name in ("number", "accuracy", "LUT") else "left", no_wrap=True)
    rows.add_row(*(Text(t, style="dim") for t in ("last", "training", "accuracy", "LUT", "")))
    for item in state.recent:
        if isinstance(item, tuple):
            number, reason = item
            text = Text(reason, style="red", overflow="ellipsis")
            rows.add_row(
                Text(str(number)),
                Text("unfit" if number in state.unfit else "failed", style="red"),
                Text(""),
                Text(""),
                text,
            )
            continue
        style = "green" if item.best else ""
        rows.add_row(
            Text(str(item.number), style=style),
            Text(item.rung, style=style),
            Text(accuracy(item.val_accuracy), style=style),
            Text(amount(item.lut), style=style),
            Text("on the front" if item.best else "", style=style),
        )
    return rows
