"""Planted mismatches are found, honest data is not trimmed, and what people decide to leave out
is left out.
"""

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from factory import Arrays, shared_signal
from PIL import Image

import csa
from csa.cli import main as cli
from csa.core.refit import Refit
from csa.core.training import Training
from csa.datasets.exclude import Excluded, read_excluded, write_excluded
from csa.datasets.ingest import ingest
from csa.datasets.pairs_table import write_pairs
from csa.errors import DataError, InputError
from csa.features.shards import FeatureTable, write_shards
from csa.params.measure import EvaluateParams
from csa.params.schema import Params
from csa.pipeline.recipes import open_workspace
from csa.pipeline.workspace import Workspace
from csa.questions.suspicion import choose_share, find_suspects, trimmed
from csa.report.shown import Shower
from csa.report.suspected import Review, Suspect, suspects_page

PARAMS = EvaluateParams(bootstrap=200)


def planted(n=600, share=0.1, noise=0.8, seed=0):
    """Pairs of which a share has a stranger's second item."""
    rng = np.random.default_rng(seed)
    X, Y = shared_signal(n, 20, 15, 6, noise, rng)
    wrong = np.zeros(n, dtype=bool)
    wrong[: round(share * n)] = True
    return X, np.concatenate([np.roll(Y[wrong], 1, axis=0), Y[~wrong]]), wrong


@pytest.fixture(scope="module")
def noisy():
    X, Y, wrong = planted()
    alignment = csa.CSA(score="likelihood_ratio").fit(X, Y).alignment_
    training = Training.of(X, Y, np.arange(len(X)))
    refit = Refit(alignment, training)
    return X, Y, wrong, alignment, refit, find_suspects(refit, training)


@pytest.mark.parametrize(
    "asked",
    [
        {"score": "canonical", "shrinkage": 0.1, "n_components": 4},
        {"score": "canonical", "n_components": 4},
        {"score": "likelihood_ratio"},
        {"score": "normalised_likelihood_ratio", "hubness": True},
        {},
    ],
    ids=str,
)
def test_a_refit_on_all_pairs_is_the_fit(asked):
    X, Y, _ = planted(300)
    alignment = csa.CSA(**asked).fit(X, Y).alignment_
    again = Refit(alignment, Training.of(X, Y, np.arange(300))).on(np.ones(300, dtype=bool)).whole()
    np.testing.assert_allclose(
        again.similarity(X[:20], Y[:30]), alignment.similarity(X[:20], Y[:30]), rtol=1e-6, atol=1e-6
    )
    assert again.score_name == alignment.score_name


def test_a_fold_has_no_say_in_its_own_scores(noisy):
    X, Y, _, alignment, refit, _ = noisy
    fold = refit.fold == 2
    other = Y.copy()
    other[fold] = np.random.default_rng(5).normal(size=(fold.sum(), Y.shape[1]))
    kept = np.ones(len(X), dtype=bool)
    mine = refit.on(kept).without(2)
    theirs = Refit(alignment, Training.of(X, other, np.arange(len(X)))).on(kept).without(2)
    np.testing.assert_allclose(mine.mean_y, theirs.mean_y, atol=1e-12)
    np.testing.assert_allclose(mine.A, theirs.A, atol=1e-8)


def test_planted_pairs_come_first(noisy):
    wrong, found = noisy[2], noisy[5]
    assert wrong[found.ranking[: wrong.sum()]].mean() > 0.8
    assert 0.07 < found.share < 0.16
    assert found.probability[wrong].mean() > 0.7 > 0.1 > found.probability[~wrong].mean()
    assert (np.diff(found.probability[found.ranking]) <= 1e-12).all()
    # a planted pair is one among strangers
    assert found.above[wrong].mean() == pytest.approx(0.5, abs=0.12)
    assert found.above[~wrong].mean() < 0.05
    assert (found.better != np.arange(len(wrong))).all()
    assert (found.better_score[wrong] > found.score[wrong]).mean() > 0.95


def test_leaving_out_helps_where_pairs_are_wrong_and_is_refused_where_they_are_not():
    X, Y, _ = planted(900, share=0.3, noise=1.6)
    alignment = csa.CSA(score="likelihood_ratio").fit(X, Y).alignment_
    share, gains = choose_share(alignment, X, Y, np.arange(900), PARAMS)
    assert share >= 0.1 and gains[share].low > 0
    X, Y, _ = planted(900, share=0.0, noise=1.6)
    alignment = csa.CSA(score="likelihood_ratio").fit(X, Y).alignment_
    assert choose_share(alignment, X, Y, np.arange(900), PARAMS)[0] == 0.0


def test_the_trimmed_refit_is_the_fit_without_them(noisy):
    X, Y, _, alignment, refit, found = noisy
    kept = ~found.worst(0.1)
    by_hand = (
        csa.CSA(score="likelihood_ratio", shrinkage=alignment.shrinkage)
        .fit(X[kept], Y[kept])
        .alignment_
    )
    smaller = trimmed(refit, found, 0.1)
    assert smaller.n_pairs == kept.sum()
    np.testing.assert_allclose(smaller.A, by_hand.A, rtol=1e-6, atol=1e-8)


def test_impossible_questions_are_one_clear_line(noisy):
    X, Y, found = noisy[0], noisy[1], noisy[5]
    for share in (-0.1, 1.0, 0.999):
        with pytest.raises(InputError, match="cannot set aside"):
            found.worst(share)
    training = Training.of(X, Y, np.repeat([0, 1], len(X) // 2))
    with pytest.raises(DataError, match="one group"):
        find_suspects(Refit(noisy[3], training), training)


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    """A fitted workspace of pictures and texts, with planted pairs."""
    X, Y, wrong = planted(200, noise=0.5)
    ws = Workspace(tmp_path, tmp_path / ".csa")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "pictures").mkdir()
    params = Params.from_mapping({"dataset": {"path": "pictures"}, "evaluate": {"bootstrap": 100}})
    ws.params_file.write_text(json.dumps(params.dump()))
    rows = []
    for i in range(200):
        Image.new("RGB", (8, 8), (i, 10, 10)).save(tmp_path / "pictures" / f"{i}.png")
        row = {
            "pair_id": f"p{i}",
            "group": f"g{i}",
            "split": "test" if i % 4 == 3 else "train",
            "label": None,
        }
        rows.append(
            row
            | {
                "image": f"{i}.png",
                "image_hash": f"{i:064x}",
                "text": f"text <{i}>",
                "text_hash": f"{i + 500:064x}",
            }
        )
    pairs = pl.DataFrame(rows, schema_overrides={"label": pl.String})
    write_pairs(pairs, ws.pairs)
    for view, features in (("image", X), ("text", Y)):
        encoder = Arrays({"encoder": view}, 1)
        write_shards(
            ws.features(view), pairs[f"{view}_hash"].to_list(), features.astype(np.float32), encoder
        )
    train = (pairs["split"] == "train").to_numpy()
    tables = [FeatureTable.read(ws.features(view)).features[train] for view in ("image", "text")]
    csa.CSA(score="likelihood_ratio").fit(*tables).save(ws.alignment)
    monkeypatch.chdir(tmp_path)
    return ws, wrong[train]


def test_the_command_ranks_draws_and_lists(fitted):
    ws, wrong = fitted
    command = [
        "suspects",
        "--top",
        "5",
        "--page",
        "page.html",
        "--drop",
        "drop.csv",
        "--trim",
        "0.1",
        "--json",
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    table = pl.read_parquet(ws.suspects / "suspects.parquet")
    assert table["rank"].to_list() == list(range(1, 151))
    assert set(table["pair_id"][: wrong.sum()]) <= {f"p{i}" for i in range(200) if i % 4 != 3}
    planted_ids = {f"p{i}" for i in range(20) if i % 4 != 3}
    assert len(planted_ids & set(table["pair_id"][: wrong.sum()])) >= 0.8 * wrong.sum()
    assert set(answer["trim"]["gain"]) == {"recall_at_1", "recall_at_5", "recall_at_10", "mrr"}
    assert read_excluded(ws.root / "drop.csv").pairs.keys() == set(
        table.filter(pl.col("probability") > 0.5)["pair_id"]
    )
    page = (ws.root / "page.html").read_text()
    assert page.count('type="checkbox"') == 5 and page.count("data:image/webp;base64,") == 5
    assert "text &lt;" in page and "http:" not in page and "https:" not in page
    assert CliRunner().invoke(cli, ["suspects", "--trim", "some"]).exit_code == 2
    assert json.loads((ws.suspects / "suspects.json").read_text())["pairs"] == 150


def test_the_page_shows_pictures_and_texts_on_either_side():
    pictures = {"wide": Image.new("L", (900, 30)), "small": Image.new("RGBA", (3, 3))}
    image, text = Shower("image", "image", pictures.__getitem__), Shower("text", "text", str)
    suspect = Suspect(
        text("left & right"), image("wide"), image("small"), "<id>", 1, 0.9, -1.0, 2.0, 0.8
    )
    page = suspects_page(Review("t", "l", [], ("text", "image"), [suspect], "f" * 64))
    assert (
        page.count("data:image/webp") == 2
        and "left &amp; right" in page
        and 'value="&lt;id&gt;"' in page
    )


def test_listed_pairs_are_left_out_at_ingest(tmp_path):
    text = "id,image,text\n" + "".join(f'"p,{i}",a{i}.png,word {i}\n' for i in range(40))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pairs.csv").write_text(text)
    for i in range(40):
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / "data" / f"a{i}.png")
    (tmp_path / "data" / "a3.png").write_bytes(b"broken, but nobody looks at it any more")
    params = Params.from_mapping(
        {"dataset": {"kind": "table", "path": "data", "table": "pairs.csv"}}
    )
    write_excluded(
        tmp_path / "exclude.csv", Excluded({"p,3": "a blurred, wrong photo", "p,5": "", "gone": ""})
    )
    assert read_excluded(tmp_path / "exclude.csv").pairs == {
        "p,3": "a blurred, wrong photo",
        "p,5": "",
        "gone": "",
    }
    result = ingest(params, tmp_path, progress=False)
    assert result.pairs.height == 38
    assert result.quarantine.select("pair_id", "reason").rows() == [
        ("p,3", "excluded: a blurred, wrong photo"),
        ("p,5", "excluded"),
    ]
    assert any("does not have: 1, such as 'gone'" in note for note in result.notes)


def test_blanks_after_commas_lose_no_reason(tmp_path):
    (tmp_path / "exclude.csv").write_text('pair_id, reason\n"p,3", "a blurred, wrong photo"\n')
    assert read_excluded(tmp_path / "exclude.csv").pairs == {"p,3": "a blurred, wrong photo"}


def test_a_recipe_brings_its_own_list(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    (repository / "csa").mkdir(parents=True)
    (repository / "dvc.yaml").write_text("stages: {}\n")
    (repository / "params.yaml").write_text(json.dumps(Params.from_mapping({}).dump()))
    recipe = tmp_path / "birds.yaml"
    recipe.write_text("dataset: {kind: table, path: birds}\n")
    monkeypatch.chdir(repository)
    write_excluded(tmp_path / "birds.exclude.csv", Excluded({"p1": "a fish"}))
    assert read_excluded(open_workspace(recipe).root / "exclude.csv").pairs == {"p1": "a fish"}
    (tmp_path / "birds.exclude.csv").unlink()
    assert read_excluded(open_workspace(recipe).root / "exclude.csv") == Excluded()


@pytest.mark.parametrize(
    ("text", "message"),
    [("id\nx\n", "no column pair_id"), ("pair_id,reason\n ,why\n", "line 2 has no")],
)
def test_a_damaged_list_is_refused(tmp_path, text, message):
    (tmp_path / "exclude.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_excluded(tmp_path / "exclude.csv")
