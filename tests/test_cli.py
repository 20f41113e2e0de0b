"""The ``flow`` command as a user meets it: what it prints, what it ends with, and that it never shows a traceback."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow import __version__, cli
from flow.commands import COMMANDS as ALL_COMMANDS
from flow.commands import datasets
from flow.errors import InputError, MissingDependency, NothingFeasible, ToolError
from tests.report.builder import build_run, candidate

COMMANDS = ("boards", "spaces", "datasets", "doctor", "predict", "check", "search", "show", "report", "run")
QUICK = tuple(name for name in COMMANDS if name not in ("search", "doctor"))


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of an error, with nothing on standard output."""
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("flow")
        return self.err[:-1]


class Flow:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str | Path) -> Done:
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self.capsys.readouterr()
        return Done(code, captured.out, captured.err)


@pytest.fixture
def flow(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Flow(capsys)


@pytest.fixture
def candidate_file(tmp_path: Path) -> Path:
    path = tmp_path / "candidate.json"
    path.write_text(json.dumps(candidate(random.Random(1)).to_dict()))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, not to be changed."""
    runs = tmp_path_factory.mktemp("cli") / "runs"
    build_run(runs / "digits-1", trials=8, seed=4)
    (runs / "latest").symlink_to("digits-1")
    return runs


@pytest.fixture
def runs(built: Path, tmp_path: Path) -> Path:
    """The same, in the current folder."""
    return Path(shutil.copytree(built, tmp_path / "runs", symlinks=True))


def shell(line: str, **environment: str) -> Done:
    """A line of bash in which ``flow`` is the command; its status is that of the first program of a pipe."""
    script = f'set -o pipefail; flow() {{ "{sys.executable}" -m flow "$@"; }}; {line}; exit "${{PIPESTATUS[0]}}"'
    root = Path(__file__).resolve().parent.parent
    env = {**os.environ, "PYTHONPATH": str(root), **environment}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=120, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


# Help


def test_without_a_command_the_help_is_shown_and_the_code_says_that_something_is_missing(flow: Flow) -> None:
    done = flow()
    assert done.code == 2
    assert done.out == ""
    for name in COMMANDS:
        assert re.search(rf"^    {name} +\w", done.err, re.MULTILINE)
    assert "A first search: flow search --board pynq-z2" in done.err
    assert flow("--debug").err == done.err


def test_help_names_every_command_and_exit_code(flow: Flow) -> None:
    done = flow("--help")
    assert (done.code, done.err) == (0, "")
    assert "Exit codes: 0 done, 1 nothing feasible found, 2 wrong input, 3 a tool failed" in " ".join(done.out.split())
    assert all(name in done.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(flow: Flow, name: str) -> None:
    done = flow(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"usage: flow {name}" in done.out
    assert "--json" in done.out


def test_the_version_is_the_packages(flow: Flow) -> None:
    assert flow("--version").out == f"flow {__version__}\n"


# Mistakes on the command line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["bords"], "flow: error: unknown command 'bords': did you mean boards? (see `flow --help`)"),
        (["--debug", "serch"], "flow: error: unknown command 'serch': did you mean search? (see `flow --help`)"),
        (
            ["boards", "--jsn"],
            "flow boards: error: unknown option --jsn: did you mean --json? (see `flow boards --help`)",
        ),
        (
            ["search", "--bord=pynq-z2"],
            (
                "flow search: error: unknown option --bord: did you mean --board or --bound or --mode? "
                "(see `flow search --help`)"
            ),
        ),
        (
            ["search", "--over"],
            "flow search: error: unknown option --over: did you mean --overwrite or --mode? (see `flow search --help`)",
        ),
        (
            ["predict", "c.json"],
            "flow predict: error: the following arguments are required: --board (see `flow predict --help`)",
        ),
        (
            ["predict", "c.json", "--board", "x", "--lut", "many"],
            "flow predict: error: argument --lut: invalid float value: 'many' (see `flow predict --help`)",
        ),
        (
            ["check", "m.keras", "--lut", "9"],
            "flow check: error: unknown option --lut: did you mean --max-lut or --input? (see `flow check --help`)",
        ),
        (["boards", "a", "b"], "flow: error: unrecognized arguments: b (see `flow --help`)"),
        (["boards", "-x"], "flow: error: unrecognized arguments: -x (see `flow --help`)"),
        (["search", "--name"], "flow search: error: argument --name: expected one argument (see `flow search --help`)"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_code_2(flow: Flow, arguments: list[str], complaint: str) -> None:
    done = flow(*arguments)
    assert done.code == 2
    assert done.complaint == complaint


def test_a_command_that_is_nothing_like_any_lists_them_all(flow: Flow) -> None:
    assert f"known: {', '.join(sorted(ALL_COMMANDS))}" in flow("qqq").complaint


def test_reproduce_prints_the_papers_figures_beside_the_recomputed_ones(flow: Flow) -> None:
    done = flow("reproduce", "iccad19")
    assert done.code == 0
    assert "29,904" in done.out
    assert "71,376" in done.out
    data = json.loads(flow("reproduce", "iccad19", "--json").out)
    assert data["source"] == "arXiv:1911.00105"
    assert [d["name"] for d in data["designs"]] == ["D", "E", "F"]


def test_calibrate_names_a_file_it_cannot_use(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    done = flow("calibrate", str(tmp_path / "mine.csv"), "--out", str(tmp_path / "out"))
    assert done.code == 2
    assert "mine.csv" in done.complaint
    assert not (tmp_path / "out").exists()


def test_calibrate_writes_the_shipped_coefficients_again_from_their_data(
    flow: Flow, tmp_path: Path, shared_data: Path, repository: Path
) -> None:
    names = ("wa_hls4ml_dense", "hls4ml_layers", "hls4ml_designs", "hls_vs_vivado_pairs")
    files = [str(shared_data / "synthesis" / f"{name}.csv") for name in names]
    done = flow("calibrate", *files, "--out", str(tmp_path))
    assert done.code == 0
    shipped = (repository / "flow" / "estimate" / "coefficients" / "hls4ml.json").read_text()
    fitted = (tmp_path / "hls4ml.json").read_text()
    number = r"-?\d+\.?\d*(?:e-?\d+)?"  # the last digits may differ with the processor's linear algebra
    assert re.sub(number, "#", fitted) == re.sub(number, "#", shipped)
    assert [float(n) for n in re.findall(number, fitted)] == pytest.approx(
        [float(n) for n in re.findall(number, shipped)], rel=1e-4, abs=1e-6
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arguments=st.lists(
        st.sampled_from([*QUICK, "--json", "--board", "--", "x", "-h", "--runs=none"]) | st.text(max_size=5),
        max_size=4,
    )
)
def test_any_arguments_end_with_a_code_and_no_traceback(arguments: list[str], flow: Flow) -> None:
    done = flow(*arguments)
    assert done.code in (0, 2)
    assert "Traceback" not in done.err
    assert done.code == 0 or done.err.startswith(("flow", "usage: flow"))


# Unknown names and bad files


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["boards", "pynq-z3"], "unknown board 'pynq-z3': did you mean pynq-z2 or pynq-z1"),
        (["spaces", "cnn-smal"], "unknown search space 'cnn-smal': did you mean cnn-small"),
        (["spaces", "paper-iccad19+strid"], "unknown variant 'strid': did you mean stride"),
        (["datasets", "cifar"], "unknown data set 'cifar': did you mean cifar10?"),
        (["datasets", "data.csv/"], "a data set file is an .npz"),
        (["boards", "none.yaml"], "none.yaml: No such file or directory"),
        (["spaces", "none.yaml"], "cannot read search space none.yaml: No such file or directory"),
        (["datasets", "none.npz"], "cannot read data set none.npz: No such file or directory"),
        (["predict", "none.json", "--board", "pynq-z2"], "cannot read candidate none.json: No such file or directory"),
        (["predict", "m.keras", "--board", "pynq-z2"], "cannot read model m.keras: No such file or directory"),
        (["check", "m.keras", "--board", "pynq-z2"], "cannot read model m.keras: No such file or directory"),
        (["check", "m.h5", "--board", "pynq-z2"], "m.h5: only .keras files are read"),
        (["show"], "no run 'latest': there are no runs in runs yet, `flow search` makes one"),
        (["report", "mine", "--runs", "elsewhere"], "no run 'mine': there are no runs in elsewhere yet"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest_that_is(flow: Flow, arguments: list[str], complaint: str) -> None:
    for more in ([], ["--json"]):
        done = flow(*arguments, *more)
        assert done.code == 2
        assert done.complaint.startswith("flow: error: ")
        assert complaint in done.complaint


@pytest.mark.parametrize("command", ["boards", "spaces"])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("schema: [1\n", "mine.yaml:2: not valid YAML"),
        ("schema: 1\nschema: 1\n", "mine.yaml:2: field 'schema' is there twice"),
        ("- 1\n", "mine.yaml: expected a mapping of fields, found list"),
        ("a: &x [*x]\n", "mine.yaml:1: nested too deeply"),
        ("schema: 1\nnonsense: 3\n", "mine.yaml"),
        ("", "mine.yaml: expected a mapping of fields, found NoneType"),
    ],
)
def test_a_bad_yaml_file_is_named_with_its_line(
    flow: Flow, tmp_path: Path, command: str, text: str, complaint: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    done = flow(command, "mine.yaml")
    assert done.code == 2
    assert complaint in done.complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"schema": 1,\n', "candidate.json:2: not valid JSON"),
        ("[]", "candidate.json: expected a mapping of fields, found list"),
        ('{"schema": 9}', "candidate.json: schema 9 is not supported, expected 1"),
        ('{"schema": 1}', "candidate.json: field"),
        ("[" * 10_000, "candidate.json: nested too deeply"),
        ("9" * 5000, "candidate.json: not valid JSON: a number is too long"),
    ],
)
def test_a_bad_candidate_is_named_with_what_is_wrong(
    flow: Flow, candidate_file: Path, text: str, complaint: str
) -> None:
    candidate_file.write_text(text)
    done = flow("predict", "candidate.json", "--board", "pynq-z2")
    assert done.code == 2
    assert complaint in done.complaint


@pytest.mark.parametrize("option", [["--lut=-1"], ["--fps=nan"], ["--latency=0"], ["--clock=10000"], ["--lut=inf"]])
def test_a_limit_that_makes_no_sense_is_wrong_input(flow: Flow, candidate_file: Path, option: list[str]) -> None:
    done = flow("predict", candidate_file, "--board", "pynq-z2", *option)
    assert done.code == 2
    assert done.complaint.startswith("flow: error: ")


# What works


def test_boards_are_listed_and_shown(flow: Flow) -> None:
    table = flow("boards")
    assert (table.code, table.err) == (0, "")
    names = [line.split()[0] for line in table.out.splitlines()[2:]]
    assert {"pynq-z2", "icebreaker"} <= set(names)
    values = json.loads(flow("boards", "--json").out)
    assert [v["name"] for v in values] == names
    assert values[names.index("pynq-z2")] == json.loads(flow("boards", "pynq-z2", "--json").out)
    assert flow("boards", "pynq-z2").out.startswith("board        pynq-z2, ")


def test_spaces_are_listed_and_shown(flow: Flow) -> None:
    names = [line.split()[0] for line in flow("spaces").out.splitlines()[2:]]
    assert "cnn-small" in names
    values = json.loads(flow("spaces", "--json").out)
    assert [v["name"] for v in values] == names
    assert values[0] == json.loads(flow("spaces", names[0], "--json").out)
    assert flow("spaces", "mlp-tiny").out.startswith("mlp-tiny: Small multilayer perceptrons")


def test_data_sets_are_listed_and_shown(flow: Flow, tmp_path: Path) -> None:
    import numpy as np

    assert "digits" in flow("datasets").out
    values = json.loads(flow("datasets", "--json").out)
    assert values[0] == json.loads(flow("datasets", "digits", "--json").out)
    np.savez(tmp_path / "mine.npz", x_train=np.eye(30) * 255, y_train=np.arange(30) % 3, title="My data")
    text = flow("datasets", "mine.npz").out
    assert "mine.npz: My data" in text
    assert "ufixed<8,0>, whole numbers divided by 256" in text


def test_the_doctor_tells_as_text_and_json(flow: Flow) -> None:
    text, values = flow("doctor"), json.loads(flow("doctor", "--json").out)
    assert (text.code, text.err) == (0, "")
    assert [c["name"] for c in values["checks"]][:2] == ["python", "numpy"]
    assert all(c["name"] in text.out for c in values["checks"])


def test_a_candidate_that_fits_ends_with_0_and_one_that_does_not_with_1(flow: Flow, candidate_file: Path) -> None:
    arguments: list[str | Path] = ["predict", candidate_file, "--board", "pynq-z2"]
    done = flow(*arguments)
    assert (done.code, done.err) == (0, "")
    assert "fits" in done.out
    assert "predicted" in done.out
    assert json.loads(flow(*arguments, "--json").out)["fits"] is True
    small = flow(*arguments, "--lut", "100")
    assert (small.code, small.err) == (1, "")
    assert "does not fit" in small.out
    assert json.loads(flow(*arguments, "--lut=100", "--json").out)["fits"] is False


# Runs


@pytest.mark.parametrize("which", [[], ["latest"], ["digits-1"], ["runs/digits-1"]])
def test_a_run_is_shown_by_any_of_its_names(flow: Flow, runs: Path, which: list[str]) -> None:
    done = flow("show", *which)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("run       digits-1, finished (all trials done)\n")
    assert json.loads(flow("show", *which, "--json").out)["name"] == "digits-1"


def test_a_report_is_written_where_it_says(flow: Flow, runs: Path) -> None:
    done = flow("report")
    assert (done.code, done.err) == (0, "")
    path = Path(done.out.strip())
    assert path == Path("runs/latest/report.html")
    assert (runs / "digits-1" / "report.html").read_text().startswith("<!DOCTYPE html>")
    value = json.loads(flow("report", "digits-1", "--json").out)
    assert value == {"run": "runs/digits-1", "report": "runs/digits-1/report.html"}


def test_a_run_elsewhere_is_found_with_its_folder(flow: Flow, built: Path) -> None:
    assert flow("show", "--runs", built).code == 0
    assert "did you mean digits-1?" in flow("show", "digits", "--runs", built).complaint


@pytest.mark.parametrize("command", ["show", "report"])
@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("run.yaml", "schema: 2\n", "run.yaml: schema 2 is not supported, expected 1; start a new run"),
        ("run.yaml", "", "run.yaml: expected a mapping of fields, found NoneType"),
        ("winners.json", "{", "winners.json:1: not valid JSON"),
        ("winners.json", "[]", "winners.json: winners: expected a mapping of fields, found list"),
        ("log.jsonl", "x\ny\n", "log.jsonl:1: not an event of a run log; delete this line"),
        ("evaluation.json", "null", "evaluation: expected a mapping of fields, found NoneType; delete the folder"),
    ],
)
def test_a_damaged_run_is_named_with_what_to_do(
    flow: Flow, runs: Path, command: str, name: str, content: str, complaint: str
) -> None:
    file = (
        next(iter(runs.glob("digits-1/candidates/*/evaluation.json"))) if "eval" in name else runs / "digits-1" / name
    )
    file.write_text(content)
    done = flow(command)
    assert done.code == 2
    assert complaint in done.complaint
    assert not (runs / "digits-1" / "report.html").exists()


def test_a_report_that_cannot_be_written_is_code_3(flow: Flow, runs: Path) -> None:
    (runs / "digits-1" / "report.html").mkdir()
    done = flow("report")
    assert done.code == 3
    assert "cannot write runs/latest/report.html: Is a directory" in done.complaint


# Errors of every kind


def missing(module: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {module!r}", name=module)


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(_: Any) -> int:
        raise error

    monkeypatch.setattr(datasets, "run", handler)


@pytest.mark.parametrize(
    ("error", "code", "complaint"),
    [
        (NothingFeasible("nothing fits"), 1, "flow: error: nothing fits"),
        (InputError("wrong\nname"), 2, "flow: error: wrong name"),
        (ToolError("vivado was killed"), 3, "flow: error: vivado was killed"),
        (MissingDependency("keras", "search"), 3, "flow: error: keras is not installed: install it with"),
        (missing("hls4ml.x"), 3, "hls4ml is not installed: install it with `pip install 'fpga-nas-flow[hls]'`"),
        (missing("optuna"), 3, "`pip install 'fpga-nas-flow[search]'`"),
        (PermissionError(13, "Denied", "/x"), 3, "flow: error: operating system error /x: Denied"),
        (ZeroDivisionError("by\nzero"), 70, "flow: internal error: ZeroDivisionError: by zero: a defect of flow"),
        (missing("flow.x"), 70, "flow: internal error: ModuleNotFoundError: No module named 'flow.x'"),
        (KeyboardInterrupt(), 130, "flow: interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_is_one_line_and_has_its_code(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, complaint: str
) -> None:
    failing(error, monkeypatch)
    done = flow("datasets")
    assert done.code == code
    assert complaint in done.complaint


@pytest.mark.parametrize("arguments", [["--debug", "datasets"], ["datasets", "--debug"]])
@pytest.mark.parametrize(("error", "code"), [(InputError("wrong"), 2), (ZeroDivisionError("oops"), 70)])
def test_debug_shows_the_traceback_above_the_line(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: Exception, code: int
) -> None:
    failing(error, monkeypatch)
    done = flow(*arguments)
    assert done.code == code
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "in handler" in done.err
    assert done.err.splitlines()[-1].startswith("flow: ")


# Real processes


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    for command in ("boards", "spaces paper-iccad19 --json", "boards --json"):
        done = shell(f"flow {command} | head -1")
        assert (done.code, done.err) == (0, "")
        assert done.out.count("\n") == 1
    done = shell("flow show no-such-run 2>&1 | true")
    assert done.code == 2


def test_output_that_cannot_be_written_is_code_3() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    done = shell("flow datasets > /dev/full")
    assert done.code == 3
    assert done.err == "flow: error: operating system error: No space left on device\n"


def test_without_standard_output_nothing_breaks() -> None:
    done = shell("flow datasets >&-")
    assert (done.code, done.err) == (0, "")
    assert shell("flow datasets nope 2>&-").code == 2


def test_a_terminal_without_the_letters_gets_question_marks(tmp_path: Path) -> None:
    build_run(tmp_path / "runs" / "a", trials=3, settings={"sampler": "très spécial " * 20})
    done = shell(f'cd "{tmp_path}" && flow show a', PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert "tr?s sp?cial" in done.out


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom flow import cli\nfrom flow.commands import datasets\n"
        "def handler(args):\n    os.kill(os.getpid(), signal.SIGINT)\n    return 0\n"
        "datasets.run = handler\nsys.exit(cli.main(['datasets']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "flow: interrupted\n")


def test_a_search_with_wrong_settings_starts_nothing(flow: Flow, tmp_path: Path) -> None:
    for arguments, complaint in (
        (["--board=pynq-z3"], "unknown board 'pynq-z3'"),
        (["--board=pynq-z2", "--name=../x"], "run name '../x' is not allowed"),
        (["--board=pynq-z2", "--space=cnn"], "unknown search space 'cnn'"),
        (["--board=pynq-z2", "--dataset=digit"], "did you mean digits"),
        (["--board=pynq-z2", "--trials=0"], "trials must be"),
        (["--board=pynq-z2", "--sampler=tpee"], "did you mean tpe"),
        (["--resume"], "no run in runs to resume"),
        ([], "which board? give --board"),
    ):
        done = flow("search", *arguments)
        assert done.code == 2
        assert complaint in done.complaint
    assert list(tmp_path.iterdir()) == []
