"""Features from shards, and vectors for an index."""

import numpy as np
import pyarrow as pa
import pytest
from factory import shared_signal
from pyarrow import parquet

import csa
from csa.core.index import recall_at_k, write_index_vectors
from csa.core.search import top_k
from csa.core.streams import ParquetPairs
from csa.errors import FeatureError, InputError


def write_shards(folder, name, features, sizes, list_type=None):
    files, start = [], 0
    for i, size in enumerate(sizes):
        part = features[start : start + size]
        lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), features.shape[1])
        files.append(folder / f"{name}-{i}.parquet")
        parquet.write_table(
            pa.table({"features": lists.cast(list_type) if list_type else lists}), files[-1]
        )
        start += size
    return files


@pytest.mark.parametrize("list_type", [None, pa.list_(pa.float32())])
def test_shards_of_other_sizes_in_each_view_are_paired_row_by_row(tmp_path, list_type):
    X, Y = (
        view.astype(np.float32)
        for view in shared_signal(9000, 7, 5, 3, 1.0, np.random.default_rng(0))
    )
    x, y = (
        write_shards(tmp_path, "x", X, [4500, 0, 4500], list_type),
        write_shards(tmp_path, "y", Y, [100, 8900], list_type),
    )
    streamed, whole = csa.Moments.from_blocks(ParquetPairs(x, y)), csa.Moments.from_arrays(X, Y)
    assert streamed.n == 9000
    np.testing.assert_allclose(streamed.cxy, whole.cxy, rtol=1e-10, atol=1e-8)


def test_unusable_shards_are_one_clear_error(tmp_path):
    X = np.ones((10, 3), np.float32)
    x = write_shards(tmp_path, "x", X, [10])
    with pytest.raises(FeatureError, match="second view has fewer rows"):
        list(ParquetPairs(x, write_shards(tmp_path, "short", X, [9])))
    with pytest.raises(FeatureError, match="no column 'image', only"):
        list(ParquetPairs(x, x, "image"))
    with pytest.raises(FeatureError, match="no such file"):
        list(ParquetPairs([tmp_path / "none.parquet"], x))
    (tmp_path / "junk.parquet").write_bytes(b"junk" * 100)
    with pytest.raises(FeatureError, match="damaged"):
        list(ParquetPairs([tmp_path / "junk.parquet"], x))
    parquet.write_table(pa.table({"features": [[1.0, 2.0], [3.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(FeatureError, match="different lengths"):
        list(ParquetPairs([tmp_path / "ragged.parquet"], x))


@pytest.mark.parametrize("score", ["likelihood_ratio", "canonical"])
def test_an_inner_product_index_of_the_written_vectors_finds_what_similarity_finds(tmp_path, score):
    X, Y = shared_signal(1500, 20, 15, 6, 1.0, np.random.default_rng(1))
    model = csa.CSA(score=score, shrinkage=0.1, n_components=10).fit(X[:500], Y[:500])
    queries, gallery = X[500:600], Y[500:]
    assert write_index_vectors(
        model.alignment_, tmp_path / "x.npy", X=queries
    ) == write_index_vectors(model.alignment_, tmp_path / "y.npy", Y=gallery)
    left, right = np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy")
    assert left.dtype == np.float32
    similarity = model.similarity(queries, gallery)
    exact = np.argsort(-similarity, axis=1, kind="stable")[:, :10]
    np.testing.assert_allclose(left @ right.T, similarity, atol=1e-4 * np.abs(similarity).max())
    assert recall_at_k(top_k(left, right, 10)[0], exact) > 0.995
    assert recall_at_k(top_k(-left, right, 10)[0], exact) < 0.1  # the measure can fail
    with pytest.raises(InputError, match="one view at a time"):
        write_index_vectors(model.alignment_, tmp_path / "z.npy")


def test_faiss_holds_the_vectors(tmp_path):
    faiss = pytest.importorskip("faiss")
    X, Y = shared_signal(1500, 20, 15, 6, 1.0, np.random.default_rng(1))
    alignment = csa.CSA(score="likelihood_ratio", shrinkage=0.1).fit(X[:500], Y[:500]).alignment_
    dimension = write_index_vectors(alignment, tmp_path / "y.npy", Y=Y[500:])
    index = faiss.IndexFlatIP(dimension)
    index.add(np.load(tmp_path / "y.npy"))
    found = index.search(alignment.index_vectors(X=X[500:600]).astype(np.float32), 10)[1]
    exact = np.argsort(-alignment.similarity(X[500:600], Y[500:]), axis=1, kind="stable")[:, :10]
    assert recall_at_k(found, exact) > 0.995
