"""The sweep: cells that are kept, resumed and addressed by all they depend on; planted noise;
honest sizes.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from factory import Arrays, shared_signal
from measured import RETRIEVAL

from csa.baselines import ASIF
from csa.cli import main as cli
from csa.datasets.pairs_table import write_pairs
from csa.errors import ArtifactError, InputError
from csa.features.shards import write_shards
from csa.params.measure import EvaluateParams
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.questions import sweep as module
from csa.questions.noise import shuffled_pairs
from csa.questions.sweep import METHODS, SweepData, SweepPlan, fit_subset, retrieval, run_sweep
from csa.questions.sweep_words import sweep_text, worth, worth_text
from csa.results.estimate import Estimate
from csa.results.sweep import SweepRow

PLAN = SweepPlan(("ridge", "procrustes"), (20, 80), (0.0, 1.0), 20, seeds=2)


@pytest.fixture
def ws(tmp_path, monkeypatch):
    """80 groups of two pairs to train on, 20 held out."""
    ws = Workspace(tmp_path, tmp_path / ".csa")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    ws.params_file.write_text(
        json.dumps(Params.from_mapping({"evaluate": {"bootstrap": 100}}).dump())
    )
    X, Y = shared_signal(200, 10, 8, 5, 0.5, np.random.default_rng(0))
    rows = [
        {
            **{
                "pair_id": f"p{i}",
                "group": f"g{i // 2}",
                "split": "test" if i >= 160 else "train",
                "label": None,
            },
            **{
                "image": f"i{i}",
                "image_hash": f"{i:064x}",
                "text": f"t{i}",
                "text_hash": f"{i + 500:064x}",
            },
        }
        for i in range(200)
    ]
    write_pairs(pl.DataFrame(rows, schema_overrides={"label": pl.String}), ws.pairs)
    for view, features in (("image", X), ("text", Y)):
        hashes = [row[f"{view}_hash"] for row in rows]
        write_shards(
            ws.features(view), hashes, features.astype(np.float32), Arrays({"encoder": view}, 1)
        )
    monkeypatch.chdir(tmp_path)
    return ws


def test_cells_are_kept_and_an_interrupted_sweep_goes_on(ws, monkeypatch):
    fits = []
    original = module.fit_subset

    def counted(make, data, groups, noise, seed):
        if len(fits) == 5:
            raise KeyboardInterrupt
        fits.append((groups, noise, seed))
        return original(make, data, groups, noise, seed)

    monkeypatch.setattr(module, "fit_subset", counted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(ws, PLAN)
    assert len(list((ws.state / "sweep").glob("*.json"))) == 5
    monkeypatch.setattr(module, "fit_subset", original)
    first = run_sweep(ws, PLAN)
    # noise 0 at 20 groups is shared by both sweeps
    assert len(list((ws.state / "sweep").glob("*.json"))) == 2 * (2 + 1 + 2)
    monkeypatch.setattr(module, "fit_subset", None)  # nothing is fitted any more
    second = run_sweep(ws, PLAN)
    assert (
        second.as_dict()
        == first.as_dict()
        == json.loads((ws.data / "sweep" / "sweep.json").read_text())
    )
    assert all(
        (ws.data / "sweep" / name).stat().st_size > 5000
        for name in ("data_efficiency.png", "noise.png")
    )


def test_a_cell_is_another_when_what_it_depends_on_is(ws):
    data, params = SweepData.of(ws), EvaluateParams()
    cell = module.Cell("ridge", 20, 0.0, 0)
    address = module._address(cell, data, params)
    assert module._address(cell, SweepData.of(ws), params) == address
    others = [
        (module.Cell("ridge", 20, 0.1, 0), data, params),
        (cell, data, EvaluateParams(bootstrap=200)),
    ]
    pairs = pl.read_parquet(ws.pairs)
    write_pairs(pairs.filter(pl.col("pair_id") != "p3"), ws.pairs)
    others.append((cell, SweepData.of(ws), params))
    assert len({address, *(module._address(*other) for other in others)}) == 4


def test_more_pairs_help_and_noise_hurts(ws):
    sweep = run_sweep(ws, SweepPlan(("procrustes",), (10, 80), (0.0, 1.0), 80, seeds=3))

    def mean(rows, **wanted):
        some = [
            row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())
        ]
        return np.mean([way.mrr.value for row in some for way in row.retrieval.values()])

    assert mean(sweep.data_efficiency, groups=10) < mean(sweep.data_efficiency, groups=80)
    assert mean(sweep.noise, noise=1.0) < 0.3 < 0.5 < mean(sweep.noise, noise=0.0)
    assert {row.pairs for row in sweep.data_efficiency} == {20, 160}
    assert sum(row.groups == 80 for row in sweep.data_efficiency) == 1  # all there are: one subset


def test_retrieval_of_sparse_index_vectors_is_that_of_dense_ones(ws):
    data = SweepData.of(ws)
    model, pairs, _ = fit_subset(ASIF, data, 40, 0.0, 1)
    found = retrieval(model, data.held_out, EvaluateParams(bootstrap=100))
    first, second = data.held_out.views
    scores = model.similarity(first.features, second.features)
    by_hand = (scores > np.diag(scores)[:, None] - 1e-12).sum(axis=1)
    assert pairs == 80
    assert found["image_to_text"].recall_at_1.value == pytest.approx((by_hand == 1).mean())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_shuffled_pairs_leave_their_groups(share):
    group = np.repeat(np.arange(60), 5)
    source = shuffled_pairs(group, share, 1)
    assert sorted(source) == list(range(300))
    assert ((group[source] != group).mean()) == pytest.approx(share)


def test_impossible_sweeps_are_one_clear_line(ws):
    for asked, message in (
        ({"methods": ("magic",)}, "unknown method 'magic'"),
        ({"sizes": (5,)}, "between 10 and 80"),
        ({"sizes": (81,)}, "between 10 and 80"),
        ({"noise": (2.0,)}, "shares"),
        ({"noise_groups": 100}, "between 10 and 80"),
    ):
        with pytest.raises(InputError, match=message):
            run_sweep(ws, SweepPlan(**asked))
    ws.pairs.unlink()
    with pytest.raises(ArtifactError, match="csa run"):
        run_sweep(ws)


def name_unpaired_items(ws):
    """500 items of either view without a partner, as the stage `unpaired` leaves them."""
    params = {"dataset": {"unpaired": {"image": "pool", "text": "pool.txt"}}}
    params["evaluate"] = {"bootstrap": 100}
    ws.params_file.write_text(json.dumps(Params.from_mapping(params).dump()))
    X, Y = shared_signal(1200, 10, 8, 5, 0.5, np.random.default_rng(0))
    for view, features in (("image", X[200:700]), ("text", Y[700:])):
        hashes = [f"{10_000 + i:064x}" for i in range(500)]
        encoder = Arrays({"encoder": view}, 1)
        write_shards(ws.unpaired(view), hashes, features.astype(np.float32), encoder)


def test_unpaired_items_are_a_method_and_their_worth_is_said_in_groups(ws):
    plan = SweepPlan(("csa", "unpaired"), (10, 40, 80), (0.0,), 10, seeds=2)
    with pytest.raises(InputError, match="has no unpaired items; name some in"):
        run_sweep(ws, plan)
    name_unpaired_items(ws)
    report = run_sweep(ws, plan)
    assert {row.method for row in report.noise} == {"csa"}, "noise is not asked of it"
    found = worth(report)
    assert set(found) == {10, 40, 80} and [len(seeds) for seeds in found.values()] == [2, 2, 1]
    assert all(size <= value <= 80 for size, seeds in found.items() for value in seeds)
    assert "10 groups with unpaired items are worth" in sweep_text(report)
    data, params = SweepData.of(ws), EvaluateParams()
    cells = [module.Cell(method, 20, 0.0, 0) for method in ("csa", "unpaired")]
    before = [module._address(cell, data, params) for cell in cells]
    fewer = {**data.beside, "unpaired_x": data.beside["unpaired_x"][1:]}
    after = [module._address(cell, replace(data, beside=fewer), params) for cell in cells]
    assert before[0] == after[0] and before[1] != after[1]


def test_what_unpaired_items_are_worth_is_read_off_the_curve_without_them():
    def row(method, groups, recall, seed=0):
        found = replace(RETRIEVAL, recall_at_1=Estimate(recall, recall, recall))
        return SweepRow(method, groups, 0.0, seed, 2 * groups, 0.1, {"image_to_text": found})

    curve = [row("csa", groups, recall) for groups, recall in ((10, 0.1), (100, 0.3), (1000, 0.2))]
    pooled = [row("unpaired", 10, recall, i) for i, recall in enumerate((0.05, 0.2, 0.9))]
    report = SimpleNamespace(data_efficiency=[*curve, *pooled])
    found = worth(report)[10]
    assert found[0] == pytest.approx(10), "never fewer than there are"
    assert found[1] == pytest.approx(10**1.5), "half way, on a logarithmic scale"
    assert found[2] == pytest.approx(1000), "no more than were measured"
    assert worth_text(report) == [
        "",
        "10 groups with unpaired items are worth 32 (10 to 1,000) without; more than were measured "
        "counts as the most that were",
    ]


def test_the_command(ws):
    command = [
        "sweep",
        "--methods",
        "ridge",
        "--sizes",
        "20",
        "--noise",
        "0,0.5",
        "--noise-groups",
        "20",
        "--seeds",
        "1",
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "ridge map" in done.stdout and "shuffled pairs" in done.stdout and "50%" in done.stdout
    answer = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    assert answer["methods"] == {"ridge": METHODS["ridge"][0]} and len(answer["noise"]) == 2
    assert CliRunner().invoke(cli, ["sweep", "--sizes", "few"]).exit_code == 2
