"""``flow check``: exit 0 or 1, one line why, and a summary for a pull request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flow.board import load_board
from flow.cli import main
from flow.errors import InputError
from flow.report.gate import STEP_SUMMARY, Budget, escaped
from tests.archive import builder as archive
from tests.archive.builder import write_small

BOARD = load_board("pynq-z2")
FITTING = ["--board", "pynq-z2", "--max-lut", "30000", "--min-fps", "1000", "--bound", "middle"]
TIGHT = ["--board", "pynq-z2", "--max-lut", "9000", "--min-fps", "20000", "--bound", "middle"]


@pytest.fixture(autouse=True)
def outside_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run in a job themselves."""
    monkeypatch.delenv(STEP_SUMMARY, raising=False)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_small(Path("model.keras"))


def check(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of ``flow check``, which complains of nothing."""
    code = main(["check", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


def test_a_model_that_fits_passes_with_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = check(capsys, model, *FITTING)
    assert code == 0
    assert re.fullmatch(
        r"model.keras fits pynq-z2: [\d,]+ of 30,000 LUT, [\d,]+ of 46,764 FF, .*, [\d,]+ of 1,000 inferences/s "
        r"\(predicted, middle of the 90% interval\)\n",
        line,
    )


def test_a_model_that_does_not_fit_fails_with_why_and_what_would_help(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = check(capsys, model, *TIGHT)
    assert code == 1
    assert re.fullmatch(
        r"model.keras does not fit pynq-z2: it needs at least [\d,]+ LUT of 9,000, [\d.]+ times as much; "
        r"it would fit with --(max-lut|min-fps) [\d,]+ \([\d.]+ times \w+\)\n",
        line,
    )


def test_every_limit_is_a_limit(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, reason in (
        (["--max-lut", "2000"], "LUT"),
        (["--max-bram", "2"], "BRAM18"),
        (["--max-latency", "1"], "latency"),
        (["--min-fps", "50000000"], "throughput"),
        (["--min-fps", "100000", "--bound", "upper"], ""),
    ):
        code, text = check(capsys, model, "--board", "pynq-z2", "--bound", "middle", *more, "--json")
        result = json.loads(text)
        assert (code, result["fits"]) == (1, False)
        assert not reason or result["reason"] in (reason, "limits together"), (more, result["reason"])
    code, text = check(capsys, model, *FITTING, "--max-dsp", "0", "--json")
    assert (code, json.loads(text)["measurement"]["dsp"]) == (0, 0)


def test_a_candidate_is_checked_too(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import random

    from tests.report.builder import candidate

    model.with_name("candidate.json").write_text(candidate(random.Random(1)).canonical_json())
    code, line = check(capsys, "candidate.json", "--board", "pynq-z2")
    assert code == 0
    assert line.startswith("candidate.json fits pynq-z2: ")


# The summary


def cells(markdown: str, first: str) -> list[str]:
    """The cells of the row that starts with ``first``."""
    (line,) = [line for line in markdown.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_summary_has_the_verdict_the_limits_and_the_layers(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(capsys, model, *FITTING, "--summary", "summary.md")
    text = Path("summary.md").read_text(encoding="utf-8")
    assert text.startswith("### ✅ model.keras fits pynq-z2\n")
    assert cells(text, "LUT")[3] == "30,000"
    assert cells(text, "LUT")[-1] == "ok"
    assert cells(text, "inferences/s")[3] == "at least 1,000"
    assert len(cells(text, "conv2")) == 7
    assert "calibrated to csynth reports" in text
    check(capsys, model, *TIGHT, "--summary", "summary.md")
    text = Path("summary.md").read_text(encoding="utf-8")
    assert text.startswith("### ❌ model.keras does not fit pynq-z2\n")
    assert cells(text, "LUT")[-1] == "**over**"
    assert re.search(r"^- would fit with --max-lut \d+", text, re.MULTILINE)


def test_in_an_action_the_summary_is_appended_to_the_jobs_page(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path("page.md")
    page.write_text("before\n\n")
    monkeypatch.setenv(STEP_SUMMARY, str(page.resolve()))
    check(capsys, model, *FITTING)
    check(capsys, model, *TIGHT)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n\n### ✅")
    assert "</details>\n\n### ❌" in text  # HTML ends with an empty line
    check(capsys, model, *FITTING, "--summary", "mine.md")
    assert page.read_text(encoding="utf-8") == text
    assert Path("mine.md").is_file()


def test_a_summary_that_cannot_be_written_is_an_error(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STEP_SUMMARY, "no/such/folder/page.md")
    assert main(["check", str(model), *FITTING]) == 3
    assert "cannot write no/such/folder/page.md (GITHUB_STEP_SUMMARY)" in capsys.readouterr().err
    Path("folder").mkdir()
    assert main(["check", str(model), *FITTING, "--summary", "folder"]) == 3
    assert "cannot write folder" in capsys.readouterr().err


def test_names_in_a_model_mean_nothing_in_the_summary(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "d|[x](http://y)<script>`a`**b**@c"
    config = archive.sequential([archive.layer("Flatten", "f"), archive.dense("d", 4)], (4, 4, 1))
    text = json.dumps(config).replace('"f"', json.dumps(nasty))
    archive.write(model, config, archive.arrays({"d": ((16, 4), (4,))}), config=text.encode())
    check(capsys, model, *FITTING, "--summary", "s.md")
    summary = Path("s.md").read_text(encoding="utf-8")
    assert "script" in summary
    for bad in ("<script>", "](http", "`a`", "**b**", "d|["):
        assert bad not in summary
    assert escaped("a\nb\x00c") == "a bc"


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--board", "pynq-z2", "--max-lut", "1e9"], "more than board pynq-z2 has"),
        (["--board", "pynq-z2", "--max-dsp", "1000"], "a budget of 1,000 DSP is more than board pynq-z2 has: "),
        (["--board", "pynq-z2", "--max-bram", "-1"], "the BRAM18 budget must be a number of at least 0, not -1"),
        (["--board", "pynq-z2", "--max-dsp", "nan"], "the DSP budget must be a number of at least 0, not nan"),
        (["--board", "pynq-z2", "--bound", "lower"], "unknown bound 'lower'"),
        (["--board", "pynq-z3"], "unknown board 'pynq-z3'"),
        (["--board", "pynq-z2", "--input", "float"], "--input: not a fixed-point format: 'float'"),
        (["--board", "pynq-z2", "--float-format", "8"], "--float-format: not a fixed-point format: '8'"),
    ],
)
def test_a_mistake_is_wrong_input(
    model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["check", str(model), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_model_that_cannot_be_read_is_wrong_input_not_a_failed_check(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.write_bytes(model.read_bytes()[:1000])
    assert main(["check", str(model), *FITTING]) == 2
    assert capsys.readouterr().err.startswith("flow: error: model.keras: not a Keras model: ")


def test_limits_that_are_not_named_are_the_boards() -> None:
    spec = Budget().spec(BOARD)
    assert (spec.budget, spec.min_throughput_per_s, spec.max_latency_us) == (BOARD.budget, 1000.0, None)
    assert Budget(dsp=0, bram18=10).spec(BOARD).budget.dsp == 0
    with pytest.raises(InputError):
        Budget(dsp=float("inf")).spec(BOARD)


# The time it takes


@pytest.mark.slow
def test_the_gate_answers_within_a_second(model: Path) -> None:
    """Python's start included, best of five: other jobs run beside tests."""
    argv = [sys.executable, "-m", "flow", "check", str(model), *FITTING]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    times = []
    for _ in range(5):
        timed = subprocess.run(
            ["bash", "-c", 'TIMEFORMAT=%U+%S; time "$@"', "-", *argv],
            capture_output=True, text=True, env=environment, timeout=60, check=True,
        )  # fmt: skip
        times.append(sum(float(part) for part in timed.stderr.split()[-1].split("+")))
    assert min(times) < 1.0  # processor seconds


# What is written about it


def test_every_option_that_is_documented_is_there(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (repository / "docs" / "howto-ci.md").read_text(encoding="utf-8")
    known = set()
    for command in ("check", "predict"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known


def test_every_layer_that_is_documented_is_read(repository: Path) -> None:
    from flow.network.quantized_layers import READERS

    text = (repository / "docs" / "howto-ci.md").read_text(encoding="utf-8")
    named = re.findall(
        r"\b(Q?[A-Z]\w+(?:1D/2D|2D|1D)?)\b", text[text.index("of QKeras layers") : text.index("else is")]
    )
    starts = {kind[:8] for kind in READERS}
    layers = [name for name in named if name.startswith("Q") and name != "QKeras"]
    assert len(layers) >= 8
    assert all(name[:8] in starts for name in layers)
