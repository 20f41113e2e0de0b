"""Synthesis on another machine: the wrapper script behaves as the tool does, and says what goes wrong on the way.

``ssh`` is a stand-in that runs its command here, in another folder and with another environment; the tool is the fake
one, found only by the set-up script that is sourced "on the server".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flow.errors import ToolError
from flow.fileio import data_dir
from flow.hls.synth import SynthOptions, synthesize
from flow.hls.tools import Finder, Tool
from flow.hls.written_project import read_project
from flow.runner import Limits, ToolFailure
from tests.hls.builder import FAKE_TOOLS, write_project

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("bash", "tar", "comm")), reason="needs bash and GNU tools"
)

SSH = r"""#!/bin/bash
# ssh [-o OPTION]... -- HOST WORD...: runs the words in a shell, as sshd does, in another home.
printf '%s\n' "$*" >>"$FAKE_SSH_LOG"
while [ "$1" != -- ]; do [ "$1" = -o ] && shift; shift; done
shift
host=$1
shift
if [ "$host" = nowhere ] || { [ -n "${FAKE_SSH_BREAKS:-}" ] && [ -e "$FAKE_SSH_BREAKS" ]; }; then
  echo "ssh: connect to host $host port 22: No route to host" >&2
  exit 255
fi
cd "$FAKE_HOME" && exec env -i HOME="$FAKE_HOME" PATH=/usr/local/bin:/usr/bin:/bin TMPDIR="$FAKE_HOME" \
  FAKE_TOOL_MODE="${FAKE_TOOL_MODE:-ok}" FAKE_TOOL_RECORD="${FAKE_TOOL_RECORD:-}" /bin/sh -c "$*"
"""


class Server:
    """The stand-in for a server, and the links that lead to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.links, self.scratch = folder / "home", folder / "my tools", folder / "server" / "tmp"
        for path in (self.home, self.links, self.scratch, folder / "bin"):
            path.mkdir(parents=True)
        script = folder / "bin" / "ssh"
        script.write_text(SSH, encoding="utf-8")
        script.chmod(0o755)
        setup = folder / "set up's.sh"
        setup.write_text(f'export PATH="{FAKE_TOOLS}:$PATH"\necho a banner\n', encoding="utf-8")
        self.log = folder / "ssh.log"
        for name in ("vivado_hls", "vitis_hls", "vivado"):
            (self.links / name).symlink_to(data_dir("vivado_scripts") / "remote_hls.sh")
        for name, value in {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "FAKE_HOME": str(self.home),
            "FAKE_SSH_LOG": str(self.log), "FAKE_SSH_BREAKS": str(folder / "broken"), "REMOTE_HLS_HOST": "me@server",
            "REMOTE_HLS_SETUP": str(setup), "REMOTE_HLS_DIR": str(self.scratch),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        self.broken = folder / "broken"

    def tool(self, kind: str) -> Tool:
        """The tool as it is found through its link."""
        return Finder(explicit=str(self.links / kind)).find((kind,))  # type: ignore[arg-type]

    def is_clean(self) -> bool:
        """Whether nothing is left on the server; what is being removed is waited for."""
        for _ in range(100):
            if not list(self.scratch.iterdir()):
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder whose name a shell would take apart."""
    return write_project(tmp_path / 'it\'s $(a) project; "x"', "vitis")


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setenv("FAKE_TOOL_MODE", name)


def test_the_release_is_asked_of_the_server(server: Server) -> None:
    tool = server.tool("vitis_hls")
    assert (tool.kind, tool.version, tool.path) == ("vitis_hls", "2022.2", server.links / "vitis_hls")
    found = Finder(explicit=str(server.links)).find_hls("Vivado")  # a folder of links is as good
    assert str(found) == "vivado_hls 2020.1"
    assert server.is_clean()


def test_all_steps_run_on_the_server_and_leave_nothing_there(server: Server, project: Path) -> None:
    (project / "csim").mkdir()
    (project / "csim" / "program").write_text("not copied", encoding="utf-8")
    options = SynthOptions(cosim=True, logic=True)
    result = synthesize(project, server.tool("vitis_hls"), server.tool("vivado"), options)
    assert (result.hls.tool, result.hls.version) == ("Vitis HLS", "2022.2")
    assert result.hls.resources.dsp == 148
    assert result.logic is not None
    assert (result.logic.source, result.logic.resources.lut) == ("synthesized", 4934)
    assert result.cosim_passed
    assert read_project(project).csynth_xml.is_file()
    assert (project / "logic_synthesis" / "timing.rpt").is_file()
    assert server.is_clean()
    assert not (project / ".remote_hls").exists()
    assert "me@server" in server.log.read_text(encoding="utf-8")
    # And nothing is asked of the server for what is done already.
    asked = server.log.read_text(encoding="utf-8").count("\n")
    again = synthesize(project, Tool("vitis_hls", server.links / "vitis_hls", "2022.2"), server.tool("vivado"), options)
    assert again.reused == ("csynth", "cosim", "logic")
    assert server.log.read_text(encoding="utf-8").count("\n") == asked + 1  # the version of vivado


def test_what_the_tool_removes_there_is_removed_here_and_nothing_else(server: Server, project: Path) -> None:
    tool = server.tool("vitis_hls")
    synthesize(project, tool)
    old = read_project(project).verilog / "older_release.v"
    old.write_text("module old; endmodule\n", encoding="utf-8")
    kept = project / "notes of mine.txt"
    kept.write_text("keep", encoding="utf-8")
    (project / "synth.json").unlink()
    synthesize(project, tool)
    assert not old.exists()  # the build script makes the project anew
    assert kept.read_text(encoding="utf-8") == "keep"


@pytest.mark.parametrize(
    ("name", "cause", "message"),
    [
        ("exit1", "exit status", "exit status 1 "),
        ("no_report", "no output", "ended with status 0 after "),
        ("killed", "killed", "killed by signal 9 (SIGKILL)"),
        ("licence", "licence missing", "A valid license was not found"),
        ("truncated", "unparsable", "its report can't be read"),
    ],
)
def test_a_failure_there_is_the_same_failure_here(
    name: str, cause: str, message: str, server: Server, project: Path, mode: Callable[[str], None]
) -> None:
    tool = server.tool("vitis_hls")
    mode(name)
    with pytest.raises(ToolFailure) as caught:
        synthesize(project, tool)
    assert caught.value.cause == cause
    assert message in str(caught.value)
    assert server.is_clean()


def test_a_report_of_an_earlier_run_is_not_taken_for_a_new_one(
    server: Server, project: Path, mode: Callable[[str], None]
) -> None:
    tool = server.tool("vitis_hls")
    synthesize(project, tool)
    (project / "synth.json").unlink()
    stub = project / "build_prj.tcl"
    stub.write_text("exit 0\n", encoding="utf-8")  # a tool that does nothing, and says that all is well
    with pytest.raises(ToolFailure, match=r"ended with status 0 .* is from an earlier run"):
        synthesize(project, tool)


def test_a_tool_that_hangs_there_is_ended_there(server: Server, project: Path, mode: Callable[[str], None]) -> None:
    tool = server.tool("vitis_hls")
    mode("hang")
    with pytest.raises(ToolFailure, match="stopped: not done within 3 s"):
        synthesize(project, tool, options=SynthOptions(limits=Limits(timeout_s=3.0, grace_s=5.0)))
    assert server.is_clean()
    assert not _alive("fake_vendor.step", str(server.scratch))


def test_if_the_wrapper_is_killed_the_tool_ends_and_its_folder_goes(
    server: Server, project: Path, mode: Callable[[str], None]
) -> None:
    mode("hang")
    process = subprocess.Popen(
        [server.links / "vitis_hls", "-f", "build_prj.tcl"], cwd=project, stdout=subprocess.DEVNULL
    )
    while not list(server.scratch.glob("*/hang.pid")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    for _ in range(60):
        if not list(server.scratch.iterdir()):
            break
        time.sleep(0.2)
    assert not list(server.scratch.iterdir())


def test_a_server_that_does_not_answer_has_its_own_message(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = server.tool("vitis_hls")
    server.broken.touch()
    with pytest.raises(ToolFailure) as caught:
        synthesize(project, tool)
    assert caught.value.cause == "server unreachable"
    assert "cannot reach me@server by ssh to start: is it up, and can you log in to it without a password?" in str(
        caught.value
    )
    monkeypatch.setenv("REMOTE_HLS_HOST", "nowhere")
    with pytest.raises(ToolError, match=r"cannot tell the version of .*cannot reach nowhere by ssh"):
        server.tool("vitis_hls")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("REMOTE_HLS_HOST", "", r"which server\? set REMOTE_HLS_HOST"),
        ("REMOTE_HLS_HOST", "-oProxyCommand=touch /tmp/x", "which is no host"),
        ("REMOTE_HLS_DIR", "/tmp/$(id)", "REMOTE_HLS_DIR must be a full path of plain characters"),
        ("REMOTE_HLS_SETUP", "/no/settings64.sh", r"no /no/settings64\.sh on .*: see REMOTE_HLS_SETUP"),
        ("REMOTE_HLS_SETUP", "", "no vitis_hls on .*: set REMOTE_HLS_SETUP"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    name: str, value: str, message: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ToolError, match=message):
        server.tool("vitis_hls")


def test_under_another_name_it_says_what_to_do(server: Server) -> None:
    script = data_dir("vivado_scripts") / "remote_hls.sh"
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "it is called remote_hls.sh: link it as vivado_hls, vitis_hls, vitis-run or vivado" in done.stderr


def _alive(*words: str) -> bool:
    """Whether a process with all ``words`` on its command line runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(word in line for word in words):
            return True
    return False
