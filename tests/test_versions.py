"""What is recorded with every result: versions, and the predictor's coefficients where they are the user's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from flow.errors import InputError
from flow.estimate.calibrated import VARIABLE
from flow.versions import versions

SHIPPED = files("flow.estimate") / "coefficients" / "hls4ml.json"


def test_coefficients_are_named_only_where_the_user_chose_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "coefficients" not in versions()
    mine = tmp_path / "mine.json"
    mine.write_bytes(SHIPPED.read_bytes())
    monkeypatch.setenv(VARIABLE, str(mine))
    assert versions()["coefficients"] == f"sha256 {hashlib.sha256(mine.read_bytes()).hexdigest()}"
    mine.unlink()
    with pytest.raises(InputError, match=r"FLOW_COEFFICIENTS: .*mine\.json can't be read: No such file"):
        versions()


def test_a_run_keeps_which_coefficients_it_was_made_with_and_says_when_they_change(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_bytes(SHIPPED.read_bytes())
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()

    def search(*options: str) -> subprocess.CompletedProcess[str]:
        # Nothing fits 60 LUTs: the run is written, and nothing is trained.
        return subprocess.run(
            [sys.executable, "-m", "flow", "search", f"--runs={tmp_path}", "--name=tight", *options],
            env={**os.environ, VARIABLE: str(mine)}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert search("--board=pynq-z2", "--space=mlp-tiny", "--lut=60").returncode == 1
    run = yaml.safe_load((tmp_path / "tight" / "run.yaml").read_text(encoding="utf-8"))
    assert run["versions"]["coefficients"] == f"sha256 {digest}"
    mine.write_text(mine.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    changed = search("--resume")
    assert changed.returncode == 1, changed.stderr
    assert f"results may differ: coefficients sha256 {digest} -> sha256 " in changed.stderr
