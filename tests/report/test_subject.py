"""What is predicted: one file, or the models and candidates of a folder, each once, and what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.cli import main
from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import build_network
from flow.report import subject
from flow.report.subject import candidate_subject, layers_text, load_subject, subject_files
from flow.space.candidate import Candidate, LayerChoice
from tests.archive import builder as archive
from tests.archive.builder import write_small

WEIGHT, RELU = WeightFormat.parse("fixed<5,1>"), FixedFormat(4, 2, signed=False)
CANDIDATE = Candidate(
    (8, 8, 1),
    FixedFormat(6, 0, signed=False),
    10,
    (LayerChoice("conv2d", 4, WEIGHT, RELU, (3, 3)),),
    WeightFormat.parse("ternary"),
)


def test_a_candidate_is_called_by_its_file_and_has_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "candidate.json"
    path.write_text(CANDIDATE.canonical_json())
    found = load_subject(path)
    assert (found.name, found.kind, found.digest) == (str(path), "candidate", CANDIDATE.digest)
    assert found.network == build_network(CANDIDATE)
    assert candidate_subject(CANDIDATE).name == CANDIDATE.digest
    assert not found.weights_known
    assert found.to_dict()["nonzero_weights"] == {}


def test_a_model_says_what_wrote_it_and_how_many_weights_are_zero(tmp_path: Path) -> None:
    found = load_subject(write_small(tmp_path / "m.keras", zeros=0.5))
    told = json.loads(json.dumps(found.to_dict()))
    assert (told["kind"], told["keras_version"], told["input_format"]) == ("keras", "3.15.1", "ufixed<8,0>")
    assert set(told["nonzero_weights"]) == {"conv1", "conv2", "conv3", "fc", "out"}
    assert all(0.2 < share < 0.7 for share in told["nonzero_weights"].values())
    assert told["float_format"] is None


def test_a_models_layers_in_one_line(tmp_path: Path) -> None:
    network = load_subject(write_small(tmp_path / "m.keras")).network
    expected = "conv3x3x8 w6 -> a4 -> maxpool2 -> conv3x3x8 w6 -> a4 -> maxpool2 -> conv3x3x16 w6 -> a4 -> maxpool2 -> "
    assert layers_text(network) == expected + "flatten -> dense32 w6 -> a4 -> dense10 w6"
    assert "dense10 ternary" in layers_text(build_network(CANDIDATE))


def test_formats_are_for_models_only(tmp_path: Path) -> None:
    path = tmp_path / "candidate.json"
    path.write_text(CANDIDATE.canonical_json())
    for formats in ((FixedFormat(8, 0), None), (None, FixedFormat(16, 6))):
        with pytest.raises(InputError, match=r"--input and --float-format are for \.keras files"):
            load_subject(path, *formats)


@pytest.mark.parametrize("name", ["m.h5", "m.HDF5", "m.onnx", "m.pt", "m.tflite"])
def test_models_of_other_kinds_say_what_to_save(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"only \.keras files are read; save the model with model\.save"):
        load_subject(tmp_path / name)


def test_layers_without_quantizers_are_named(tmp_path: Path) -> None:
    settings = {"units": 5, "use_bias": False, "activation": "linear"}
    config = archive.sequential([archive.layer("Dense", "fc", **settings), archive.dense("out", 2)], (16,))
    variables = archive.arrays({"fc": ((16, 5),), "out": ((5, 2), (2,))})
    found = load_subject(archive.write(tmp_path / "m.keras", config, variables))
    assert found.floats == ("fc",)
    assert found.to_dict()["float_format"] == "fixed<16,6>"


def test_a_folder_gives_each_network_once_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.keras", "a/model.keras", "a/candidate.json", "c/other.keras", "c/candidate.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / ".hidden.keras").write_bytes(b"")
    (tmp_path / "notes.json").write_bytes(b"")
    (tmp_path / "folder.keras").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in subject_files(tmp_path)]
    # The candidate beside a model.keras is that model's; beside another model it is a network of its own.
    assert found == ["a/model.keras", "b.keras", "c/candidate.json", "c/other.keras"]


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_FILES", 2)
    for name in "abc":
        (tmp_path / f"{name}.keras").write_bytes(b"")
    with pytest.raises(InputError, match="has 3 models and candidates in it, at most 2 are predicted"):
        subject_files(tmp_path)


def test_a_name_is_one_line_whatever_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_small(tmp_path / "a\n::error::b\x1b[31m.keras")
    assert load_subject(path).name == f"{tmp_path}/a?::error::b?[31m.keras"
    for command in (["check", str(path)], ["predict", str(tmp_path)]):
        main([*command, "--board", "pynq-z2"])
        printed = capsys.readouterr().out
        assert "::error::" in printed
        assert "\x1b" not in printed
        assert not any(line.startswith("::") for line in printed.splitlines())
