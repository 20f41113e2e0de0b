"""A fake v++ with platforminfo and xclbinutil: as strict as the real ones about kernels, streams and memory ports.

A kernel (.xo) is JSON here: its name, its streams (direction and width), its memory ports. FAKE_PLATFORMS: the
platforms that are "installed", separated by blanks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from . import settings
from .step import fail, say, trouble

PLATFORMS = "xilinx_u50_gen3x16_xdma_5_202210_1 xilinx_u250_gen3x16_xdma_4_1_202210_1"


def main(arguments: list[str]) -> NoReturn:
    """``v++``: ``--version``, ``-c`` for a kernel, or ``-l`` for the card's image."""
    settings.record("v++", arguments)
    if arguments == ["--version"]:
        say(f"****** v++ v{settings.version('v++')} (64-bit)")
        raise SystemExit(0)
    options, files = _parse(arguments)
    if options.get("--platform") not in os.environ.get("FAKE_PLATFORMS", PLATFORMS).split():
        fail(f"ERROR: [v++ 60-1258] No valid platform was found that matches '{options.get('--platform')}'.")
    if "-c" in arguments:
        Path(options["-o"]).write_text(json.dumps(_compile(options["-k"], Path(files[0]))), encoding="utf-8")
    else:
        _link(options, [json.loads(Path(path).read_text(encoding="utf-8")) for path in files])
    raise SystemExit(0)


def platforms() -> NoReturn:
    """``platforminfo -l``."""
    names = os.environ.get("FAKE_PLATFORMS", PLATFORMS).split()
    print(json.dumps({"platforms": [{"baseName": name, "version": "1.0"} for name in names]}, indent=1))
    raise SystemExit(0)


def image_info(arguments: list[str]) -> NoReturn:
    """``xclbinutil --info --input FILE``."""
    image = json.loads(Path(arguments[arguments.index("--input") + 1]).read_text(encoding="utf-8"))
    say("Clocks", "------", "   Name:      DATA_CLK", f"   Frequency: {image['mhz']:g} MHz")
    raise SystemExit(0)


def _parse(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    options, files, left = {}, [], list(arguments)
    while left:
        item = left.pop(0)
        if item in ("-c", "-l", "--save-temps"):
            continue
        if not item.startswith("-"):
            files.append(item)
        elif item in ("-t", "-k", "-I", "-o", "--platform", "--config", "--temp_dir", "--log_dir", "--report_level"):
            options[item] = left.pop(0)
        else:
            fail(f"ERROR: [v++ 60-599] unrecognised option '{item}'")
    return options, files


def _compile(kernel: str, source: Path) -> dict[str, Any]:
    text = source.read_text(encoding="utf-8")
    head = re.search(rf'extern "C" void {kernel}\((.*?)\) {{', text, re.DOTALL)
    if head is None:
        fail(f"ERROR: [v++ 60-773] no function '{kernel}' in {source}")
    width = re.search(r"ap_axiu<(\d+), 0, 0, 0>", text)
    assert width is not None
    streams = {
        name: ["M" if f"{name}.write(" in text else "S", int(width[1])]
        for name in re.findall(r"hls::stream<\w+> &(\w+)", head[1])
    }
    return {"kernel": kernel, "streams": streams, "memories": re.findall(r"ap_uint<\d+> \*(\w+)", head[1])}


def _config(path: str) -> dict[str, list[str]]:
    entries: dict[str, list[str]] = {}
    section = ""
    for raw in Path(path).read_text(encoding="utf-8").splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif line:
            name, _, value = line.partition("=")
            entries.setdefault(section + name, []).append(value)
    unknown = entries.keys() - {
        *("kernel_frequency", "connectivity.nk", "connectivity.stream_connect", "connectivity.sp", "debug.chipscope"),
    }
    if unknown:
        fail(f"ERROR: [v++ 60-604] unknown option {min(unknown)} in {path}")
    return entries


def _link(options: dict[str, str], kernels: list[dict[str, Any]]) -> None:
    config = _config(options["--config"])
    known = {kernel["kernel"]: kernel for kernel in kernels}
    units: dict[str, dict[str, Any]] = {}
    for entry in config.get("connectivity.nk", []):
        name, _, unit = entry.split(":")
        if name not in known:
            fail(f"ERROR: [CFGEN 83-2284] no kernel {name} among the .xo files")
        units[unit] = known[name]
    open_ends = {f"{unit}.{name}": side for unit, kernel in units.items() for name, side in kernel["streams"].items()}
    for entry in config.get("connectivity.stream_connect", []):
        ends = entry.split(":")
        for end in ends:
            if end not in open_ends:
                fail(f"ERROR: [CFGEN 83-2298] no stream {end} that is free")
        (mode_from, width_from), (mode_to, width_to) = (open_ends.pop(end) for end in ends)
        if (mode_from, mode_to) != ("M", "S"):
            fail(f"ERROR: [CFGEN 83-2299] {entry} does not go from a master to a slave")
        if width_from != width_to:
            fail(f"ERROR: [CFGEN 83-2300] {entry}: {width_from} and {width_to} bits")
    if open_ends:
        fail(f"ERROR: [CFGEN 83-2301] stream {min(open_ends)} is not connected")
    unmapped = {f"{unit}.{name}" for unit, kernel in units.items() for name in kernel["memories"]}
    unmapped -= {entry.rpartition(":")[0] for entry in config.get("connectivity.sp", [])}
    if unmapped:
        fail(f"ERROR: [CFGEN 83-2287] memory port {min(unmapped)} is in no bank")
    for entry in config.get("debug.chipscope", []):
        unit, _, port = entry.partition(":")
        if port not in units.get(unit, {"streams": {}})["streams"]:
            fail(f"ERROR: [v++ 60-1403] no port {entry} to watch")
    mode = settings.mode("v++")
    trouble(mode, "network")
    if mode == "killed_late":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    if mode == "overflow":
        fail(
            "ERROR: [Place 30-487] The packing of instances into the device could not be obeyed. There are a total of "
            "46560 CLBs in the pblock, and 50211 are needed."
        )
    mhz = float(config["kernel_frequency"][0])
    Path(options["-o"]).write_text(json.dumps({"mhz": mhz - 37 if mode == "timing_missed" else mhz}), encoding="utf-8")
