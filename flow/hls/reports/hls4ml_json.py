"""The dictionary hls4ml makes of a report, saved as JSON: what its own synthesis baselines are.

It names neither tool release nor part, so :meth:`HlsEstimate.measurement` needs them. A oneAPI report is read too,
but stays apart: Intel's ALUTs and M20K blocks are not the resources this project counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flow.hls.reports.model import HlsEstimate, IntelEstimate, Origin
from flow.hls.reports.text import Text, decimal, ordered, period, whole
from flow.resources import Resources

_NAMES = {"lut": "LUT", "ff": "FF", "bram18": "BRAM_18K", "uram": "URAM", "dsp": "DSP"}


def read_hls4ml_json(text: Text) -> HlsEstimate | IntelEstimate:
    """The estimate. Raises InputError if the JSON is damaged or something else."""
    try:
        data = json.loads("\n".join(text.lines), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise text.error(f"not valid JSON: {error.msg}", error.lineno - 1) from error
    except (ValueError, RecursionError) as error:
        raise text.error(f"not a report: {str(error)[:80] or 'nested too deeply'}") from error
    origin = Origin("hls4ml json", str(text.path), "hls4ml report", "", "", "")
    if not isinstance(data, dict) or not {"CSynthesisReport", "report"} & data.keys():
        raise text.error("JSON, but not a report of hls4ml: no CSynthesisReport and no report")
    if "CSynthesisReport" in data:
        return _amd(text, origin, _mapping(text, data, "CSynthesisReport"))
    report = _mapping(text, data, "report")
    hls, loop = _mapping(text, report, "HLS"), _mapping(text, report, "Loop")
    # Both must be there, so that lost lines can't turn what is available into what is used.
    total, _ = _mapping(text, hls, "total"), _mapping(text, hls, "available")
    amounts = [_whole(text, total, key) for key in ("alut", "reg", "ram", "dsp", "mlab")]
    if any(amount is None for amount in amounts):
        raise text.error("an amount in HLS.total is unknown")
    speed = [_decimal(text, loop, key) for key in ("worstLatency", "worstII", "worstFrequency")]
    if missing := {"worstLatency", "worstII", "worstFrequency"} - loop.keys():
        raise text.error(f"no {', '.join(sorted(missing))} in Loop")
    return IntelEstimate(origin, *[amount or 0 for amount in amounts], *speed)


def _amd(text: Text, origin: Origin, data: dict[str, Any]) -> HlsEstimate:
    cycles = [_whole(text, data, key) for key in ("BestLatency", "WorstLatency", "IntervalMin", "IntervalMax")]
    return HlsEstimate(
        origin,
        Resources(**{name: _whole(text, data, key) for name, key in _NAMES.items()}),
        Resources(**{name: _whole(text, data, f"Available{key}") for name, key in _NAMES.items()}),
        _decimal(text, data, "TargetClockPeriod", period),
        _decimal(text, data, "EstimatedClockPeriod"),
        None,
        ordered(text, cycles[0], cycles[1], "latency", 0),
        ordered(text, cycles[2], cycles[3], "interval", 0),
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys must differ: Python would keep the last of two without a word."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key is there twice: {', '.join(sorted({k for k in keys if keys.count(k) > 1}))}")
    return dict(pairs)


def _mapping(text: Text, data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise text.error(f"no {key!r} in the report")
    return value


def _value(text: Text, data: dict[str, Any], key: str) -> str | None:
    """The value as text, None if the key is not there. hls4ml keeps most numbers as text, some as numbers."""
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise text.error(f"{key} is {str(value)[:40]!r}, not a number")
    return str(value)


def _whole(text: Text, data: dict[str, Any], key: str) -> int | None:
    value = _value(text, data, key)
    return None if value is None else whole(text, value, key, text.index(rf'.*"{key}"') or 0)


def _decimal(
    text: Text, data: dict[str, Any], key: str, read: Callable[[Text, str, str, int], float | None] = decimal
) -> float | None:
    value = _value(text, data, key)
    return None if value is None else read(text, value, key, text.index(rf'.*"{key}"') or 0)
