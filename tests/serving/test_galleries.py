"""Galleries that count as large: a graph finds what an exact search finds, and is built once."""

import logging
import sys

import numpy as np
import pytest
from workspaces import make_report_workspace

from csa.core.search import top_k
from csa.questions import stored_graphs
from csa.questions.graphs import FaissGraph
from csa.questions.opened import Fitted
from csa.questions.stored_graphs import folder_of, index_of
from csa.serving.galleries import Galleries
from csa.serving.searching import Query, SharedSearches


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return Fitted.open(make_report_workspace(tmp_path_factory.mktemp("galleries") / "repo"))


@pytest.fixture
def galleries(fitted):
    return Galleries.of(fitted, 10)


def never(*_):
    raise AssertionError("built again")


def test_a_graph_finds_what_an_exact_search_finds(fitted, galleries):
    queries = fitted.gallery("text").vectors[:30]
    rows, scores = galleries.nearest("image", queries, 5, (), alike=False)
    expected, values = top_k(queries, fitted.gallery("image").vectors, 5)
    assert (rows == expected).mean() >= 0.98
    np.testing.assert_allclose(scores[rows == expected], values[rows == expected])
    about = galleries.about("image")
    assert about["recall_at_10"] >= 0.98 and not about["exact"]
    assert Galleries.of(fitted, 10**6).about("image") == {"items": about["items"], "exact": True}


@pytest.mark.parametrize("into", ["image", "text"])
def test_company_does_not_show_in_the_last_bit(fitted, galleries, into):
    features = fitted.features("text").features[:37]
    for searched in (galleries, Galleries(fitted)):
        shared = SharedSearches(searched)
        together = shared(Query("text", features, into, 5, ()))
        for i in range(len(features)):
            alone = shared(Query("text", features[i : i + 1], into, 5, ()))
            for one, all_of_them in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one[0], all_of_them[i])
    expected = top_k(fitted.scorer.vectors("text", features), fitted.gallery("image").vectors, 5)
    if into == "image":
        np.testing.assert_array_equal(together.rows, expected[0])
        np.testing.assert_allclose(together.scores, expected[1], atol=1e-9)
    # held-out items tie with themselves, so rounding decides about one place of 23
    np.testing.assert_allclose(
        together.p_familiar, fitted.familiar("text", features), rtol=0, atol=1.01 / 23
    )


def test_searches_of_many_kinds_share_a_pass(fitted):
    features = fitted.features("text").features
    shared = SharedSearches(Galleries(fitted))
    queries = [
        Query("text", features[i : i + 1 + i % 3], ("image", "text")[i % 2], 3 + i % 4, keep)
        for i in range(12)
        for keep in ((), (("split", "test"),))
    ]
    for query, found in zip(queries, shared._found(queries), strict=True):
        for part, alone in zip(found, shared(query), strict=True):
            np.testing.assert_array_equal(part, alone)


def test_what_is_forgotten_is_in_no_gallery(fitted, galleries):
    for view in fitted.scorer.names:
        fitted.familiar(view, fitted.features(view).features[:1])
    pair = fitted.pairs.row(0, named=True)
    without = galleries.without([pair["image_hash"]])
    assert galleries.without(["0" * 64]) is galleries and not without.indices
    less = without.fitted
    for view in fitted.scorer.names:
        gallery, before = less.gallery(view), fitted.gallery(view)
        assert pair["image_hash"] not in gallery.pairs["image_hash"].to_list()
        kept = before.pairs[f"{view}_hash"].is_in(gallery.pairs[f"{view}_hash"].to_list())
        assert 0 < kept.sum() < len(kept)
        np.testing.assert_array_equal(gallery.vectors, before.vectors[kept.to_numpy()])
    known, before = less._known["image"], fitted._known["image"]
    assert known.known.shape[1] == len(known.items)
    assert len(before.items) - len(known.items) == (pair["split"] == "train")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("alike", [False, True])
def test_a_filter_leaves_what_it_should(fitted, galleries, split, alike):
    exact = Galleries(fitted)
    queries = fitted.gallery("image" if alike else "text").vectors[:9]
    asked = ("image", queries, 7, (("split", split),))
    rows, scores = galleries.nearest(*asked, alike=alike)
    expected, values = exact.nearest(*asked, alike=alike)
    assert set(fitted.gallery("image").pairs[rows.ravel().tolist()]["split"]) == {split}
    assert (rows == expected).mean() >= 0.95
    np.testing.assert_allclose(scores[rows == expected], values[rows == expected])


def test_where_too_little_is_left_the_rest_is_said_to_be_nothing(fitted, galleries):
    index, vectors = galleries.indices["image"], fitted.gallery("image").vectors
    few = np.arange(len(vectors)) < 3
    rows, scores = index.top_k(fitted.gallery("text").vectors[:4], vectors, 5, few)
    assert (np.sort(rows, axis=1) == [-1, -1, 0, 1, 2]).all()
    assert (np.isfinite(scores) == (rows >= 0)).all()


def test_a_graph_is_built_once_and_anew_for_other_vectors(fitted, galleries, monkeypatch):
    del galleries  # they are stored
    monkeypatch.setattr(FaissGraph, "of", never)
    again = Galleries.of(fitted, 10).about("image")
    assert again["recall_at_10"] >= 0.98
    vectors, others = (fitted.gallery(view).vectors for view in ("image", "text"))
    with pytest.raises(AssertionError, match="built again"):
        index_of(fitted.ws, "image", vectors + 1e-3, others)
    monkeypatch.undo()
    folder = folder_of(fitted.ws) / fitted.ws.name / "image"
    for shift in (1e-3, 2e-3):
        index_of(fitted.ws, "image", vectors + shift, others)
        assert len(list(folder.iterdir())) == 4, "two graphs, each with its recall"


def test_a_damaged_graph_is_built_anew_and_one_that_cannot_be_stored_is_used(
    fitted, galleries, monkeypatch, caplog
):
    vectors, others = (fitted.gallery(view).vectors for view in ("image", "text"))
    (path,) = (folder_of(fitted.ws) / fitted.ws.name / "text").glob("*.faiss")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    index_of(fitted.ws, "text", others, vectors)
    assert path.read_bytes() == whole
    assert galleries.about("text") == Galleries.of(fitted, 10).about("text")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(stored_graphs, "_write", full)
    with caplog.at_level(logging.WARNING, "csa.serving"):
        index = index_of(fitted.ws, "text", others + 1, vectors)
    assert index.how.recall >= 0.98 and "no space left" in caplog.text


def test_without_faiss_the_search_is_exact_and_a_line_says_so(fitted, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with caplog.at_level(logging.WARNING, "csa.serving"):
        galleries = Galleries.of(fitted, 10)
    assert galleries.about("image")["exact"]
    assert "pip install 'canonical-similarity[faiss]'" in caplog.text
