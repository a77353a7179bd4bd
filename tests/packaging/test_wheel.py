"""The wheel is what people install: built here, installed outside any clone, and used there."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import csa
from csa.extras import DISTRIBUTION, EXTRA_OF

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SYSTEM = SETTINGS["project"], SETTINGS["build-system"]

pytestmark = pytest.mark.registry


def run(*command, cwd, **environment):
    """A command with nothing of the clone on its path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def install(python, *what, cwd):
    """pip install, or skip where no registry answers."""
    constraints = ROOT / "constraints.txt"
    done = run(python, "-m", "pip", "install", "-q", "-c", constraints, *what, cwd=cwd)
    skip_without_registry(done)
    assert done.returncode == 0, done.stderr


def skip_without_registry(done):
    if done.returncode and "No matching distribution found" in done.stderr:
        pytest.skip("no package registry answers")


def tracked():
    listing = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return [name for name in listing.stdout.splitlines() if os.path.lexists(ROOT / name)]


def build(source, into, *options, python=sys.executable):
    """The wheel of a source folder or archive, made as `make wheel` makes it."""
    command = [python, "-m", "pip", "wheel", "-q", "--no-deps", *options, "-w", into, source]
    done = run(*command, cwd=into.parent, SOURCE_DATE_EPOCH="1750000000")
    skip_without_registry(done)
    assert done.returncode == 0, done.stderr
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """What git would carry, in two folders outside the clone."""
    folder = tmp_path_factory.mktemp("sources")
    for name in tracked():
        for copy in ("first", "second"):
            target = folder / copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder / "first", folder / "second"


@pytest.fixture(scope="module")
def wheel(copies, tmp_path_factory):
    return build(copies[0], tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def core(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel and what the core needs."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env/bin/python"
    install(python, wheel, cwd=folder)
    return python


@pytest.fixture(scope="module")
def builder(core):
    """The same Python, with what builds a wheel: so it is fetched once."""
    install(core, "--upgrade", *SYSTEM["requires"], cwd=core.parent)
    return core


def contents(wheel):
    """Path -> bytes of all files in a wheel, but for its record of them."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


def test_the_wheel_holds_the_package_csa_whole_and_nothing_else(wheel):
    links = {"flows/": "csa/flows/", "recipes/": "csa/recipes/"}
    expected = {name for name in tracked() if name.startswith("csa/")} - {
        "csa/flows",
        "csa/recipes",
    }
    for name in tracked():
        for folder, inside in links.items():
            if name.startswith(folder):
                expected.add(name.replace(folder, inside, 1))
    names = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert names == expected and "csa/flows/retrain.py" in names
    assert wheel.name == f"canonical_similarity-{csa.__version__}-py3-none-any.whl"


def test_the_same_source_gives_the_same_bytes(copies, wheel, builder, tmp_path):
    (tmp_path / "again").mkdir()
    again = build(copies[1], tmp_path / "again", "--no-build-isolation", python=builder)
    first, second = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (wheel, again))
    assert first == second


def source_archive(source, into, python):
    """The source archive of a folder, made as `make wheel` makes it."""
    done = run(python, source / "tests/support/archive.py", into, "1750000000", cwd=source)
    assert done.returncode == 0, done.stderr
    (archive,) = into.glob("*.tar.gz")
    return archive


def test_the_source_archive_is_the_same_bytes_and_gives_the_same_wheel(
    copies, wheel, builder, tmp_path
):
    (copies[0] / "README.md").touch()  # another time, and nothing else
    first, second = (
        source_archive(copy, tmp_path / copy.name, builder) for copy in reversed(copies)
    )
    assert first.read_bytes() == second.read_bytes()
    (tmp_path / "wheel").mkdir()
    again = build(first, tmp_path / "wheel", "--no-build-isolation", python=builder)
    assert contents(again) == contents(wheel)


FIT = """
import sys
import numpy as np, csa
rng = np.random.default_rng(0)
Z = rng.standard_normal((500, 4))
X = np.c_[Z, rng.standard_normal((500, 8))].astype(np.float32)
Y = np.c_[Z[:, ::-1], rng.standard_normal((500, 6))].astype(np.float32)
alignment = csa.CSA().fit(X, Y)
alignment.save("alignment.safetensors")
again = csa.load("alignment.safetensors")
found = again.similarity(X[:100], Y[:100]).argmax(axis=1)
print(csa.__version__, (found == np.arange(100)).mean(), csa.__file__)
"""


def test_the_core_alone_fits_saves_and_loads(core, tmp_path):
    done = run(core, "-c", FIT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    version, share, file = done.stdout.split()
    assert version == csa.__version__ and float(share) > 0.5
    assert Path(file).is_relative_to(core.parents[1])
    listed = run(core, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).stdout
    brought = {line.partition("==")[0].lower() for line in listed.split()}
    wanted = {DISTRIBUTION, "numpy", "scipy", "safetensors", "threadpoolctl"}
    assert brought - {"pip", "setuptools"} == wanted


@pytest.mark.parametrize("arguments", [["--help"], ["run"], ["search", "a fox"]])
def test_a_command_of_the_core_alone_names_the_extra_in_one_line(core, tmp_path, arguments):
    done = run(core.with_name("csa"), *arguments, cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == (
        "csa: error: this command needs click, which is not installed; "
        "pip install 'canonical-similarity[pipeline]'\n"
    )


def test_a_stage_of_the_core_alone_names_the_extra_in_one_line(core, tmp_path):
    (tmp_path / "dvc.yaml").touch()
    done = run(core, "-m", "csa.pipeline", "fit", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "pip install 'canonical-similarity[pipeline]'" in done.stderr


IMPORT_ALL = """
import pkgutil, importlib, csa
for module in pkgutil.walk_packages(csa.__path__, "csa."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(csa.__file__)
"""


@pytest.fixture(scope="module")
def full(wheel, tmp_path_factory):
    """The Python of an environment with the wheel beside the packages of this one."""
    folder = tmp_path_factory.mktemp("full")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env/bin/python"
    install(python, "--no-deps", wheel, cwd=folder)
    (packages,) = folder.glob("env/lib/python*/site-packages")
    # A path that a .pth file names comes behind the environment's own, and its own .pth files are
    # not read: no editable installation gets in.
    (packages / "tested.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def test_every_module_of_the_wheel_is_importable(full, tmp_path):
    done = run(full, "-c", IMPORT_ALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(full.parents[1])


def test_the_command_of_the_wheel_says_its_version_and_what_is_no_workspace(full, tmp_path):
    command = full.with_name("csa")
    assert run(command, "--version", cwd=tmp_path).stdout.split()[-1] == csa.__version__
    done = run(command, "status", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_the_metadata_names_every_extra_once(full, tmp_path):
    code = (
        "from importlib.metadata import metadata\n"
        f"print(*metadata({DISTRIBUTION!r}).get_all('Provides-Extra'))"
    )
    extras = run(full, "-c", code, cwd=tmp_path).stdout.split()
    assert sorted(extras) == sorted(PROJECT["optional-dependencies"])
    assert set(EXTRA_OF.values()) < set(extras)
