"""A file that is said to be an alignment is read as one only where every field can be: one error
that names the field, never nonsense later.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import csa
from csa.core.moments import Moments
from csa.errors import ArtifactError
from csa.storage.container import load_tensors, save_tensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2, 60, 4))
    path = tmp_path_factory.mktemp("alignment") / "a.safetensors"
    csa.CSA(folds=3).fit(X, X + Y).save(path)
    return path


def changed(whole, target, header=None, tensors=None):
    old_header, old = load_tensors(whole, "alignment")
    save_tensors(target, "alignment", old_header | (header or {}), old | (tensors or {}))
    return target


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"score": "os.system"}, "score"),
        ({"score": None}, "score"),
        ({"score": ["canonical"]}, "score"),
        ({"shrinkage": [0.1, "much"]}, "shrinkage"),
        ({"shrinkage": [0.1, 7]}, "shrinkage"),
        ({"n_pairs": "many"}, "n_pairs"),
        ({"n_pairs": -1}, "n_pairs"),
        ({"notes": "none"}, "notes"),
        ({"preparation": [{"name": "os.system", "width": 0}] * 2}, "preparation"),
        ({"hubness": {"strength": "strong", "neighbours": 0}}, "hubness|another version"),
        ({"hubness": {"command": "rm"}}, "another version"),
        ({"preparation": [{"name": "raw"}]}, "another version"),
    ],
)
def test_a_header_is_of_known_names_and_numbers(whole, tmp_path, header, field):
    with pytest.raises(ArtifactError, match=field):
        csa.load(changed(whole, tmp_path / "b.safetensors", header))


@pytest.mark.parametrize("name", ["mean_x", "A", "B", "training_correlations", "weights"])
@pytest.mark.parametrize("how", ["NaN", "longer", "of bytes", "gone"])
def test_arrays_are_finite_and_go_together(whole, tmp_path, name, how):
    values = load_tensors(whole, "alignment")[1][name]
    wrong = {
        "NaN": np.full_like(values, np.nan),
        "longer": np.concatenate([values, values, values]),
        "of bytes": values.astype(np.uint8),
        "gone": None,
    }[how]
    path = tmp_path / "b.safetensors"
    if wrong is None:
        header, tensors = load_tensors(whole, "alignment")
        save_tensors(path, "alignment", header, {k: v for k, v in tensors.items() if k != name})
    else:
        changed(whole, path, tensors={name: wrong})
    with pytest.raises(ArtifactError, match=r"its \w+ (has|is of)|another version"):
        csa.load(path)


@pytest.mark.parametrize("header", ['{"format": 1}', "[]", "7", '{"kind": 3, "format": 1}'])
def test_a_file_without_a_kind_is_none_of_ours(tmp_path, header):
    path = tmp_path / "a.safetensors"
    save_file({"A": np.ones((2, 2))}, path, metadata={"csa": header})
    with pytest.raises(ArtifactError, match=r"not a CSA file|another kind"):
        csa.load(path)


@pytest.mark.parametrize("name", ["mean_x", "cxx", "cxy", "n"])
def test_moments_are_checked_alike(tmp_path, name):
    rng = np.random.default_rng(0)
    path = tmp_path / "m.safetensors"
    Moments.from_arrays(rng.normal(size=(9, 3)), rng.normal(size=(9, 2))).save(path)
    header, tensors = load_tensors(path, "moments")
    wrong = {"n": header} if name == "n" else {}
    if name != "n":
        tensors[name] = np.full_like(tensors[name], np.inf)
    save_tensors(path, "moments", header | wrong, tensors)
    with pytest.raises(ArtifactError, match=f"its {name} cannot be that of moments"):
        Moments.load(path)


def test_what_was_saved_is_read_bit_for_bit(whole, tmp_path):
    csa.load(whole).save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == whole.read_bytes()
    assert json.loads(json.dumps(csa.load(whole).notes)) == csa.load(whole).notes
