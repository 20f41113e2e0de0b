"""The rules of the house: small modules, light imports, a clean tree, complete locks, a wheel that works."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.archive.builder import write_small

REPOSITORY = Path(__file__).resolve().parent.parent
MODULES = sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("flow/**/*.py"))
HEAVY = frozenset(
    "tensorflow tf_keras keras qkeras optuna sqlalchemy sklearn scipy hls4ml da4ml matplotlib jax".split()
)
MAX_LINES = 400
EXTRAS = ("search", "hls")
"""The extras that `make` installs, and that the lock files hold."""


def run(argv: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, **settings)


def outside_make() -> dict[str, str]:
    """The environment without what an outer `make test` hands to an inner make."""
    return {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}}


def tracked_files() -> list[Path]:
    """The files of the clone that git tracks or would track."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY)
    if listed.returncode != 0:
        pytest.skip("needs a git clone")
    return [path for name in listed.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]


# Modules


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_at_most_400_lines(module: str) -> None:
    assert len((REPOSITORY / module).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def imports_on_load(node: ast.AST) -> Iterator[str]:
    """Top-level names of the modules that loading this module imports: all but those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
            yield child.module.split(".")[0]
        yield from imports_on_load(child)


@pytest.mark.parametrize("module", MODULES)
def test_loading_a_module_imports_no_framework(module: str) -> None:
    tree = ast.parse((REPOSITORY / module).read_text(encoding="utf-8"))
    assert not HEAVY.intersection(imports_on_load(tree))


def test_the_import_check_sees_what_it_should() -> None:
    source = """
import numpy
try:
    import keras.layers
except ImportError:
    pass
class A:
    from optuna import Study
def f():
    import tensorflow
if TYPE_CHECKING:
    import hls4ml
"""
    assert set(imports_on_load(ast.parse(source))) == {"numpy", "keras", "optuna"}


@pytest.mark.parametrize("arguments", [["--help"], ["boards"], ["spaces"]])
def test_the_quick_commands_import_no_framework(arguments: list[str]) -> None:
    done = run([sys.executable, "-X", "importtime", "-m", "flow", *arguments], cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
    imported = set(re.findall(r"^import time:.*\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    assert "flow.cli" in imported
    assert not HEAVY.intersection(name.split(".")[0] for name in imported)


# The tree

MACHINE_PATH = re.compile(r"(?<![\w.~<-])/(?:home|root|Users|work|tmp/w)/[\w.-]+")


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        name = path.relative_to(REPOSITORY).as_posix()
        if name.startswith("tests/golden/"):  # real reports keep the paths their tool wrote
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match}" for match in MACHINE_PATH.findall(text)]
    assert not found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("/" + "home/someone/flow", True),
        ("'/" + "work/main/x'", True),
        ("../shared/data", False),
        ("~/flow, https://example.org/home/page", False),
        ("/tools/Xilinx/Vivado/2020.1", False),
    ],
)
def test_the_path_check_sees_what_it_should(text: str, named: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is named


# The lock files


def locked(name: str) -> dict[str, tuple[str, bool]]:
    """Package -> (version, has a hash) in a lock file."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    packages: dict[str, tuple[str, bool]] = {}
    for entry in entries:
        package, version = entry.split(" ", 1)[0].split("==")
        packages[canonicalize_name(package)] = (version, "--hash=sha256:" in entry)
    return packages


def requirements(group: str | None = None) -> list[Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    texts = list(project["project"]["dependencies"])
    for extra in EXTRAS:
        texts += project["project"]["optional-dependencies"][extra]
    if group:
        texts += project["dependency-groups"][group]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize(("lock", "group"), [("requirements.lock", None), ("requirements-dev.lock", "dev")])
def test_a_lock_holds_what_pyproject_asks_for_with_hashes(lock: str, group: str | None) -> None:
    packages = locked(lock)
    for requirement in requirements(group):
        version, _ = packages[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but locked {version}: run `make lock`"
    assert all(hashed for _, hashed in packages.values())
    assert not {"hgq2", "qkeras", "torch"} & packages.keys()
    assert "://" not in (REPOSITORY / lock).read_text(encoding="utf-8")


def test_the_dev_lock_adds_to_the_main_lock_and_changes_nothing() -> None:
    main, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert main.items() <= dev.items()


# make

NASTY = 'it\'s; touch $HOME `id` "x" $(shell id) a*'


def make_command(*arguments: str, environment: dict[str, str] | None = None) -> list[str]:
    """The argv that a make target would run."""
    argv = ["make", "-n", "-o", ".venv/bin/main.stamp", *arguments]
    done = run(argv, cwd=REPOSITORY, env={**outside_make(), **(environment or {})})
    assert done.returncode == 0, done.stderr
    return shlex.split(done.stdout.replace("\\\n", ""))


def test_make_search_passes_on_only_what_was_given() -> None:
    assert make_command("search", "BOARD=pynq-z2") == [".venv/bin/flow", "search", "--board=pynq-z2"]
    every = "BOARD DATASET SPACE LUT FPS LATENCY CLOCK TRIALS TIME SEED NAME SAMPLER MODE JOBS".split()
    argv = make_command("search", *(f"{name}={i}" for i, name in enumerate(every)))
    assert set(argv[2:]) == {f"--{name.lower()}={i}" for i, name in enumerate(every)}


def test_make_compare_passes_on_only_what_was_given() -> None:
    assert make_command("compare") == [".venv/bin/flow", "compare"]
    every = "DATASETS BOARD SEEDS MODES SAMPLER EPOCHS_TOTAL OUT DOCS".split()
    argv = make_command("compare", *(f"{name}={i}" for i, name in enumerate(every)))
    assert set(argv[2:]) == {f"--{name.lower().replace('_', '-')}={i}" for i, name in enumerate(every)}


@pytest.mark.parametrize("value", [NASTY, "two words", "-x", "#a", "a\\b"])
def test_make_search_passes_a_value_on_as_it_is(value: str) -> None:
    argv = make_command("search", f"NAME={value}")
    assert argv == [".venv/bin/flow", "search", f"--name={value}"]


def test_make_search_ignores_the_environment() -> None:
    argv = make_command("search", environment={"NAME": "laptop", "BOARD": "x"})
    assert argv == [".venv/bin/flow", "search"]


def test_make_ci_has_a_fixed_seed_and_can_be_told_another_board() -> None:
    argv = make_command("ci", "BOARD=zybo-z7-20")
    assert argv[:3] == [".venv/bin/flow", "search", "--board=zybo-z7-20"]
    assert {"--estimator-only", "--json", "--seed=0", "--name=ci", "--overwrite"} <= set(argv)


def test_make_without_a_usable_python_says_so(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    argv = ["make", "-s", "search", "PYTHON=no-such-python"]
    done = run(argv, cwd=tmp_path, env=outside_make())
    assert done.returncode != 0
    assert "no Python 3.11 to 3.13 with venv and pip found" in done.stderr
    assert not (tmp_path / ".venv").exists()


# The wheel


def base_packages(name: str) -> set[str]:
    """A distribution and what it needs without extras, by name."""
    wanted = {name}
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            wanted |= base_packages(requirement.name)
    return wanted


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="needs the development packages: `make test` installs them")
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    done = run(argv, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("fpga_nas_flow-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_ships_every_data_file(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    shipped = {path.relative_to(REPOSITORY).as_posix() for path in tracked_files()}
    data = {f"flow/_data/{name}" for name in shipped if name.startswith(("boards/", "templates/", "vivado_scripts/"))}
    package = {name for name in shipped if name.startswith("flow/")}
    assert {name.split("/")[2] for name in data} == {"boards", "templates", "vivado_scripts"}
    assert any(name.startswith("flow/space/presets/") for name in package)
    assert data | package <= inside


@pytest.mark.slow
def test_an_installed_wheel_works_outside_the_clone_with_the_base_packages_only(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    argv = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
    done = run(argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    site = Path(next(tmp_path.glob("venv/lib/python*/site-packages")))
    for requirement in requirements_of_base():
        for name in base_packages(requirement):
            for file in metadata.files(name) or []:
                top = Path(file.parts[0])
                target = site / top
                if top.name not in {"..", "__pycache__"} and not target.exists():
                    target.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    model = str(write_small(tmp_path / "model.keras"))
    gate = ["--board", "zcu104", "--max-lut", "100000", "--min-fps", "1000"]
    for arguments in (["boards"], ["spaces"], ["doctor"], ["predict", model, *gate[:2]], ["check", model, *gate]):
        done = run([str(python.parent / "flow"), *arguments], cwd=tmp_path, env=env)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        if arguments == ["boards"]:
            assert "pynq-z2" in done.stdout
    where = run([str(python), "-c", "import flow; print(flow.__file__)"], cwd=tmp_path, env=env)
    assert Path(where.stdout.strip()).is_relative_to(site)
    without = run([str(python), "-c", "import tensorflow"], cwd=tmp_path, env=env)
    assert "No module named 'tensorflow'" in without.stderr


def requirements_of_base() -> list[str]:
    """The names of the packages a base install brings."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return [Requirement(text).name for text in project["project"]["dependencies"]]
