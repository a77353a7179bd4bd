"""`csa export`: other tools search what it wrote as `csa search` does."""

import json
import re
import sys
from pathlib import Path

import duckdb
import faiss
import lance
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from usearch.index import Index
from workspaces import make_report_workspace

from csa.cli import main
from csa.core.search import top_k
from csa.questions.opened import Fitted

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    return make_report_workspace(tmp_path_factory.mktemp("export") / "repo")


def exported(ws, monkeypatch, *arguments):
    monkeypatch.chdir(ws.root)
    done = CliRunner().invoke(main, ["export", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def vectors(folder, view):
    return pl.read_parquet(folder / f"{view}.parquet")["vector"].to_numpy()


def test_inner_products_of_the_tables_are_the_scores(ws, monkeypatch, tmp_path):
    told = exported(ws, monkeypatch, str(tmp_path / "gallery"))
    fitted = Fitted.open(ws)
    for view in ("image", "text"):
        table = pl.read_parquet(tmp_path / "gallery" / f"{view}.parquet")
        pairs = fitted.gallery(view).pairs
        assert table.columns == ["pair_id", "image", "text", "label", "split", "vector"]
        columns = table.columns[:-1]
        assert table.select(columns).equals(pairs.select(columns))
        assert told["views"][view] == {
            "items": pairs.height,
            "dimension": table["vector"].dtype.shape[0],
        }
    scores = fitted.gallery("image").vectors @ fitted.gallery("text").vectors.T
    found = vectors(tmp_path / "gallery", "image") @ vectors(tmp_path / "gallery", "text").T
    np.testing.assert_allclose(found, scores, atol=1e-6 * np.abs(scores).max())


def test_with_unit_the_cosine_orders_as_the_score_does(ws, monkeypatch, tmp_path):
    told = exported(ws, monkeypatch, str(tmp_path / "unit"), "--unit")
    fitted = Fitted.open(ws)
    left, right = (vectors(tmp_path / "unit", view).astype(float) for view in ("image", "text"))
    for side in (left, right):
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1, atol=1e-6)
    scores = fitted.gallery("image").vectors @ fitted.gallery("text").vectors.T
    np.testing.assert_allclose(told["score_of_cosine"] * left @ right.T, scores, atol=1e-4)
    new = np.pad(fitted.gallery("text").vectors[:9], ((0, 0), (0, 2)))  # as a query that is new
    rows, _ = top_k(new / np.linalg.norm(new, axis=1, keepdims=True), left, 3)
    expected, _ = top_k(fitted.gallery("text").vectors[:9], fitted.gallery("image").vectors, 3)
    np.testing.assert_array_equal(rows, expected)


def test_the_query_of_the_docs_searches_in_duckdb(ws, monkeypatch, tmp_path):
    told = exported(ws, monkeypatch, str(tmp_path / "gallery"))
    fitted = Fitted.open(ws)
    text = fitted.gallery("text").pairs["text"][5]
    (query,) = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    query = query.replace("FLOAT[24]", f"FLOAT[{told['views']['image']['dimension']}]")
    query = query.replace("'a red circle'", "$text")
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        found = connection.execute(query, {"text": text}).fetchall()
    asked = fitted.gallery("text").vectors[[5]]
    rows, scores = top_k(asked, fitted.gallery("image").vectors, 5)
    pairs = fitted.gallery("image").pairs[rows[0].tolist()]
    assert [row[0] for row in found] == pairs["pair_id"].to_list()
    assert [row[2] for row in found] == pytest.approx(scores[0].tolist(), abs=1e-5)


def test_lance_holds_what_parquet_holds(ws, monkeypatch, tmp_path):
    for name in ("parquet", "lance"):
        exported(ws, monkeypatch, str(tmp_path / name), "--format", name, "--unit")
    for view in ("image", "text"):
        table = lance.dataset(tmp_path / "lance" / f"{view}.lance").to_table()
        read = pl.from_arrow(table)
        assert read.equals(pl.read_parquet(tmp_path / "parquet" / f"{view}.parquet"))
    query = table["vector"][7].values.to_numpy()
    best = lance.dataset(tmp_path / "lance" / "text.lance").to_table(
        nearest={"column": "vector", "q": query, "k": 1, "metric": "cosine"}
    )
    assert best["pair_id"].to_pylist() == [table["pair_id"][7].as_py()]


def by_faiss(path, queries, width):
    index = faiss.read_index(f"{path}.faiss")
    assert index.hnsw.efSearch == width
    return index.search(queries, 3)


def by_usearch(path, queries, width):
    index = Index.restore(f"{path}.usearch")
    index.expansion_search = width
    found = index.search(queries, 3)
    return 1 - found.distances, found.keys.astype(int)


@pytest.mark.parametrize("search", [by_faiss, by_usearch])
def test_an_index_finds_what_the_search_finds(ws, monkeypatch, tmp_path, search):
    name = search.__name__.removeprefix("by_")
    told = exported(ws, monkeypatch, str(tmp_path / "index"), "--format", name)["views"]["image"]
    fitted = Fitted.open(ws)
    queries = fitted.gallery("text").vectors[:20]
    padded = np.pad(queries, ((0, 0), (0, 1))).astype(np.float32)
    assert told["recall_at_10"] >= 0.98 and told["dimension"] == padded.shape[1]
    products, rows = search(tmp_path / "index" / "image", padded, told["width"])
    expected, scores = top_k(queries, fitted.gallery("image").vectors, 3)
    assert (rows == expected).mean() >= 0.98
    np.testing.assert_allclose(told["score_of_inner_product"] * products, scores, atol=1e-4)
    ids = pl.read_parquet(tmp_path / "index" / "image.parquet")["pair_id"]
    assert ids.equals(fitted.gallery("image").pairs["pair_id"])


def test_a_missing_package_is_one_line_with_its_extra(ws, monkeypatch, tmp_path):
    for name, module in (("faiss", "faiss"), ("usearch", "usearch.index"), ("lance", "lance")):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.chdir(ws.root)
        done = CliRunner().invoke(main, ["export", str(tmp_path / "new"), "--format", name])
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert f"pip install 'canonical-similarity[{name}]'" in done.stderr
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["full"], "there is something already"), (["new", "--format", "excel"], "no format")],
)
def test_what_it_refuses(ws, monkeypatch, tmp_path, arguments, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    monkeypatch.chdir(ws.root)
    done = CliRunner().invoke(main, ["export", str(tmp_path / arguments[0]), *arguments[1:]])
    assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
