"""The gate: planted challengers it must promote or refuse; the ledger it writes."""

import shutil
from collections import Counter

import numpy as np
import polars as pl
import pytest
from workspaces import (
    STAGES,
    a_run_of,
    gate,
    item_hash,
    make_workspace,
    no_reevaluation,
    note_encoder,
    pairs_of,
    queries_table,
    reranked,
    run_once,
)

from csa.datasets.pairs_table import write_pairs
from csa.errors import ArtifactError, InputError
from csa.operations.gate import settled
from csa.operations.gate.paired import decide
from csa.operations.gate.series import Terms
from csa.operations.inspection.compare import compare
from csa.operations.ledger import ledger, moves
from csa.operations.opened import Project
from csa.operations.registry import downloads, registry
from csa.operations.registry.registering import register
from csa.operations.registry.registry import Registry
from csa.operations.runs.records import file_sha256, record_run
from csa.params.gate import GateParams
from csa.pipeline.workspace import Workspace

pytestmark = pytest.mark.usefixtures("local_registry")

GATE = GateParams()


def degraded(table, by=0.05):
    return table.with_columns(pl.col("mrr") - by)


def test_an_emptied_registry_begins_anew_and_the_ledger_goes_on(tmp_path, monkeypatch):
    root, good = tmp_path / "repo", queries_table()
    run_once(root, reranked(good))
    ws = run_once(root, good).ws
    project = Project(ws)
    history = ledger.history(ws.ledger, project.model)
    assert [line["to"] for line in history] == [1, 2]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")  # it has no version
    assert run_once(root, good).champion == 1
    project = Project(ws)
    lines = ledger.history(ws.ledger, project.model)
    assert lines[:2] == history and [line["to"] for line in lines[2:]] == [None, 1]
    assert downloads.alignment_file(project.registry, project.registry.champion()).is_file()


def test_better_is_promoted_and_worse_is_kept_with_the_numbers():
    good, bad = queries_table(), degraded(queries_table())
    up, down = decide(good, bad, GATE), decide(bad, good, GATE)
    assert (
        up.verdict == "promote" and up.gain == pytest.approx(0.05) and up.low == pytest.approx(0.05)
    )
    assert down.verdict == "keep" and down.reason.startswith(
        "worse: mrr -0.0500, 95% interval [-0.0500, -0.0500] over 160 queries"
    )


def test_a_tie_keeps_the_champion_in_any_row_order():
    decision = decide(
        queries_table(), queries_table().sample(fraction=1, shuffle=True, seed=0), GATE
    )
    assert (
        decision.verdict == "keep"
        and decision.reason.startswith("a tie")
        and decision.low == decision.high == 0
    )


def test_a_champion_that_must_go_gives_way_to_all_that_is_not_surely_worse():
    table, must_go = queries_table(), "version 1 was fitted on 2 items that are to be forgotten"
    noise = np.random.default_rng(0).normal(scale=0.2, size=len(table))
    unclear = table.with_columns(mrr=pl.col("mrr") + noise - noise.mean() - 0.001)
    for challenger, said in ((table, "a tie"), (unclear, "not surely worse")):
        assert decide(challenger, table, GATE).verdict == "keep"
        decision = decide(challenger, table, GATE, terms=Terms(must_go=must_go))
        assert (
            decision.verdict == "promote"
            and decision.reason.startswith(said)
            and decision.reason.endswith(must_go)
        )
    worse = decide(degraded(table), table, GATE, terms=Terms(must_go=must_go))
    assert (
        worse.verdict == "keep"
        and worse.reason.startswith("worse")
        and worse.reason.endswith(must_go)
    )
    one_slice = (
        table.select("direction", "query")
        .filter(pl.col("direction") == "image_to_text")
        .with_columns(slice=pl.lit("s"))
    )
    lopsided = table.with_columns(
        mrr=pl.col("mrr") + pl.when(direction="image_to_text").then(-0.05).otherwise(0.05)
    )
    assert decide(lopsided, table, GATE, one_slice, Terms(must_go=must_go)).reason.startswith(
        "worse on s"
    )


def test_a_shuffled_model_is_refused():
    n = 80
    ranks = np.random.default_rng(1).integers(1, n + 1, size=2 * n)
    shuffled = queries_table(n).with_columns(rank=pl.Series(ranks), mrr=pl.Series(1 / ranks))
    decision = decide(shuffled, queries_table(n), GATE)
    assert decision.verdict == "keep" and decision.high < 0


def test_the_margin_must_be_exceeded_by_the_lower_bound():
    good, bad = queries_table(), degraded(queries_table(), by=0.0625)
    assert decide(good, bad, GateParams(margin=0.05)).verdict == "promote"
    assert decide(good, bad, GateParams(margin=0.0625)).verdict == "keep"


def test_chance_differences_are_not_promoted_too_often():
    promoted = 0
    for seed in range(60):
        a, b = queries_table(seed=seed), queries_table(seed=1000 + seed)
        promoted += decide(a, b, GateParams(bootstrap=200)).verdict == "promote"
    assert promoted <= 6  # 2.5 % is nominal for the one side; six of sixty has probability 0.003


def test_the_interval_resamples_groups_not_queries():
    independent, clustered = queries_table(group_size=1), queries_table(group_size=1)
    noise = np.repeat(np.random.default_rng(0).normal(0, 0.1, size=8), 10)
    shift = pl.Series(np.tile(noise, 2))
    groups = pl.Series(np.tile([f"g{i // 10}" for i in range(80)], 2))
    clustered = clustered.with_columns(group=groups)
    narrow = decide(independent.with_columns(mrr=pl.col("mrr") + shift), independent, GATE)
    wide = decide(clustered.with_columns(mrr=pl.col("mrr") + shift), clustered, GATE)
    assert wide.gain == pytest.approx(narrow.gain)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_both_directions_count_alike():
    old = queries_table()
    way = pl.col("direction") == "image_to_text"
    lopsided = pl.concat([old.filter(way), old.filter(~way).head(20)])
    new = lopsided.with_columns(
        mrr=pl.when(way).then(pl.col("mrr") + 0.1).otherwise(pl.col("mrr") - 0.2)
    )
    assert decide(new, lopsided, GATE).gain == pytest.approx(-0.05)


@pytest.mark.parametrize(
    "champion",
    [
        queries_table().head(100),
        queries_table().with_columns(query=pl.col("query") + "x"),
        queries_table().with_columns(group=pl.lit("other")),
        pl.concat([queries_table(), queries_table().head(1)]),
    ],
)
def test_other_queries_are_not_compared(champion):
    decision = decide(queries_table(quality=0.9), champion, GATE)
    assert decision.verdict == "keep" and decision.reason.startswith("not comparable")


def test_few_groups_and_missing_numbers_prove_nothing():
    few = queries_table(n=8, group_size=2)
    assert "only 4 held-out groups" in decide(few, degraded(few), GATE).reason
    nothing = queries_table().with_columns(mrr=pl.lit(float("nan")))
    assert "not a number for 160 queries" in decide(nothing, queries_table(), GATE).reason


def test_a_models_life(tmp_path):
    root = tmp_path / "repo"
    first, second = queries_table(), reranked(queries_table())
    third = reranked(queries_table(), by=-1)

    born = run_once(root, first)
    assert (born.decision.verdict, born.champion) == ("promote", 1)
    again = run_once(root, first)
    assert again.decision.reason == "version 1 is the champion already"
    worse = run_once(root, second)
    assert (worse.version, worse.decision.verdict, worse.champion) == (2, "keep", 1)
    before = worse.ws.ledger.read_bytes()
    repeated = run_once(root, second)
    assert repeated.decision == worse.decision and repeated.ws.ledger.read_bytes() == before
    better = run_once(root, third)
    assert (better.version, better.decision.verdict, better.champion) == (3, "promote", 3)

    lines = ledger.entries(better.ws.ledger)
    history = [(line["from"], line["to"], line["verdict"]) for line in lines]
    assert history == [(None, 1, "promote"), (1, 1, "keep"), (1, 3, "promote")]
    assert all(line["reason"] and line["who"] and line["when"] for line in lines)

    # someone goes back to version 1: the gate leaves it there, until someone promotes version 3
    # again
    back = moves.rollback(Project(better.ws), None, "customers complained")
    assert (back.before, back.after, Project(better.ws).registry.champion().version) == (3, 1, 1)
    once_more = run_once(root, third)
    assert once_more.champion == 1
    assert (
        "version 3 was rolled back by" in once_more.decision.reason
        and "customers complained" in once_more.decision.reason
    )
    moves.promote(Project(better.ws), 3, "it was something else")
    assert run_once(root, third).decision.reason == "version 3 is the champion already"
    lines = ledger.entries(better.ws.ledger)[-2:]
    assert [(line["verdict"], line["from"], line["to"], line["gate"]) for line in lines] == [
        ("rollback", 3, 1, "by hand"),
        ("promote", 1, 3, "by hand"),
    ]


def test_a_gate_decision_opens_mlflow_and_reads_the_parameters_once(tmp_path, monkeypatch):
    root, counts = tmp_path / "repo", Counter()
    run_once(root, queries_table())

    def counted(name, real):
        def work(*arguments, **options):
            counts[name] += 1
            return real(*arguments, **options)

        return work

    # looked at whenever MLflow is opened, and MLflow opens clients of its own besides ours
    monkeypatch.setattr(registry, "check_registry", counted("opened", registry.check_registry))
    monkeypatch.setattr(Workspace, "params", counted("parsed", Workspace.params))
    monkeypatch.setattr(registry, "_listed", counted("listed", registry._listed))
    worse = reranked(queries_table())
    project, run = a_run_of(root, worse)
    version = register(project.registry, run).version
    refused = gate(project, run, version, no_reevaluation)
    assert refused.verdict == "keep" and refused.reason.startswith("worse: ")
    assert counts == {"opened": 1, "parsed": 1, "listed": 1}
    better = reranked(queries_table(), by=-1)
    counts.clear()
    project, run = a_run_of(root, better)
    version = register(project.registry, run).version
    assert gate(project, run, version, no_reevaluation).verdict == "promote"
    assert counts["opened"] == counts["parsed"] == 1
    assert project.registry.champion().version == version, "what is remembered is not out of date"


def test_moves_by_hand_are_checked(tmp_path):
    root = tmp_path / "repo"
    ws = run_once(root, queries_table()).ws
    with pytest.raises(InputError, match="knows no champion before"):
        moves.rollback(Project(ws), None, "why not")
    with pytest.raises(InputError, match="has no version 7"):
        moves.promote(Project(ws), 7, "why not")
    with pytest.raises(InputError, match="champion already"):
        moves.promote(Project(ws), 1, "why not")
    run_once(root, reranked(queries_table()))
    with pytest.raises(InputError, match="needs a reason"):
        moves.promote(Project(ws), 2, " ")
    stored = next(
        path
        for path in (ws.state / "mlflow").rglob("alignment.safetensors")
        if file_sha256(path) == sha_of(ws, 2)
    )
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    shutil.rmtree(ws.state / "downloads", ignore_errors=True)
    before = ws.ledger.read_bytes()
    with pytest.raises(ArtifactError, match="was changed since it was registered"):
        moves.promote(Project(ws), 2, "it looks better")
    assert Project(ws).registry.champion().version == 1 and ws.ledger.read_bytes() == before


def sha_of(ws, number):
    return Project(ws).registry.version(number).tags["alignment_sha256"]


def test_versions_are_compared_query_by_query(tmp_path):
    root = tmp_path / "repo"
    run_once(root, queries_table())
    ws = run_once(root, reranked(queries_table())).ws
    result = compare(Project(ws), "champion", "challenger")
    row = result.table.row(by_predicate=pl.col("metric") == "mrr", named=True)
    assert (result.first, result.second, result.queries) == (1, 2, 160)
    assert row["high"] < 0 and row["difference"] == pytest.approx(row["second"] - row["first"])
    assert compare(Project(ws), "1", "1").table["difference"].to_list() == [0, 0, 0, 0]
    with pytest.raises(InputError, match="no version or alias 'best'"):
        compare(Project(ws), "best", "1")


def test_a_kill_between_ledger_and_alias_is_made_good(tmp_path, monkeypatch):
    root = tmp_path / "repo"
    run_once(root, queries_table())

    def die(self, number):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "set_champion", die)
        with pytest.raises(KeyboardInterrupt):
            run_once(root, reranked(queries_table(), by=-1))
    after = run_once(root, reranked(queries_table(), by=-1))
    assert after.champion == 2 and len(ledger.entries(after.ws.ledger)) == 2


def test_a_champion_that_was_fitted_on_forgotten_items_is_replaced_by_one_as_good(tmp_path):
    root, table = tmp_path / "repo", queries_table()

    def run_without(name, to_forget):
        (root / "exclude.csv").write_text(
            f"pair_id,reason,item\n,asked for,{item_hash(to_forget)}\n"
        )
        pairs = pairs_of(table).with_columns(
            pl.col("image_hash").replace(item_hash(name), item_hash("another"))
        )
        return run_once(root, table, edit=lambda ws: write_pairs(pairs, ws.pairs))

    run_once(root, table)
    kept = run_without("image5", to_forget="i0")
    assert (kept.version, kept.decision.verdict, kept.champion) == (2, "keep", 1), (
        "it was measured on it, not fitted"
    )
    after = run_without("image0", to_forget="image0")
    assert (after.version, after.decision.verdict, after.champion) == (3, "promote", 3)
    assert after.decision.reason.endswith(
        "; version 1 was fitted on items that are to be forgotten (1)"
    )
    (line,) = [line for line in ledger.entries(after.ws.ledger) if line["to"] == 3]
    assert line["reason"] == after.decision.reason


def test_other_held_out_data_measures_the_champion_again_on_todays(tmp_path):
    root = tmp_path / "repo"
    run_once(root, queries_table())
    today = queries_table(n=100)
    seen = []

    def reevaluate(alignment):
        seen.append(alignment.read_bytes())
        return degraded(today)

    grown = run_once(root, today, reevaluate)
    assert grown.decision.verdict == "promote" and "200 queries" in grown.decision.reason
    assert seen != [grown.ws.alignment.read_bytes()]
    assert seen == [
        downloads.alignment_file(
            Project(grown.ws).registry, Project(grown.ws).registry.version(1)
        ).read_bytes()
    ]


@pytest.mark.parametrize("change", ["encoder", "split"])
def test_a_champion_that_cannot_be_measured_on_todays_data_is_kept(tmp_path, change):
    root = tmp_path / "repo"
    run_once(root, queries_table())
    edit, sections = None, {}
    if change == "encoder":

        def edit(ws):
            note_encoder(ws, "text", "another")

    else:
        sections = {"dataset": {"split": {"seed": 5}}}
    other = run_once(root, queries_table(n=100, quality=0.9), edit=edit, **sections)
    assert other.decision.verdict == "keep" and other.champion == 1
    assert (
        "encoder of text" if change == "encoder" else "data set or its split"
    ) in other.decision.reason


def test_another_encoder_on_the_same_held_out_data_is_compared(tmp_path):
    root = tmp_path / "repo"
    first = run_once(root, reranked(queries_table()))
    # the registry still has the table
    (first.ws.runs / first.run.run_id / "queries.parquet").write_bytes(b"edited")

    def edit(ws):
        note_encoder(ws, "text", "another")

    assert run_once(root, queries_table(), edit=edit).champion == 2


def test_settled_runs_need_no_registry(tmp_path):
    root = tmp_path / "repo"
    done = run_once(root, queries_table())
    ws, run = done.ws, done.run
    assert settled.recall(Project(ws), run) is None
    settled.remember(Project(ws), run, done.version, done.decision)
    known = settled.recall(Project(ws), run)
    assert known.version == 1 and known.decision.reason == "version 1 is the champion already"
    ledger.append(ws.ledger, {"model": "another"})
    assert settled.recall(Project(ws), run) == known
    ledger.append(ws.ledger, {"model": run.model, "verdict": "rollback"})
    assert settled.recall(Project(ws), run) is None
    settled.remember(Project(ws), run, done.version, done.decision)
    database = ws.state / "mlflow" / "mlflow.db"
    database.rename(database.with_suffix(".gone"))
    assert settled.recall(Project(ws), run) is None
    (ws.runs / run.run_id / "registered.json").write_text("{")
    assert settled.recall(Project(ws), run) is None


def test_a_damaged_record_of_the_challenger_stops_the_gate(tmp_path):
    ws = make_workspace(tmp_path / "repo")
    run, _ = record_run(Project(ws), STAGES)
    register(Project(ws).registry, run)
    (ws.runs / run.run_id / "queries.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"queries\.parquet is missing or damaged"):
        gate(Project(ws), run, 1, no_reevaluation)
    assert not ws.ledger.exists()
