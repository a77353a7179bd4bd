"""The gate proves itself: planted challengers, each refused for the right reason, with a real
fit on real files.
"""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from workspaces import (
    as_run,
    bare_workspace,
    gate,
    item_hash,
    queries_table,
    stages_of,
    write_params,
)

import csa
from csa.datasets.pairs_table import read_pairs, write_pairs
from csa.errors import ArtifactError, ParamsError
from csa.operations.gate.paired import decide
from csa.operations.gate.slices import slices_of
from csa.operations.gate.soundness import leaked, milliseconds
from csa.operations.ledger import ledger, moves
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registering import register
from csa.operations.runs.items import items_of
from csa.operations.runs.records import record_run
from csa.params.gate import GateParams
from csa.pipeline import ingest
from csa.pipeline.embed import embed_stage
from csa.pipeline.evaluate import evaluate_elsewhere, evaluate_stage
from csa.pipeline.fit import fit_stage
from csa.pipeline.ingest import ingest_stage
from csa.storage.files import read_json

pytestmark = pytest.mark.usefixtures("local_registry")

GATE = GateParams()
VIEWS = ("left", "right")


class Pipeline:
    """The real stages on arrays, in one process: what `csa run` does without Prefect and DVC."""

    def __init__(self, root):
        root.mkdir(parents=True)
        rng = np.random.default_rng(0)
        shared = rng.normal(size=(240, 4))
        (root / "arrays").mkdir()
        for view, width in zip(VIEWS, (8, 7), strict=True):
            values = shared @ rng.normal(size=(4, width)) + 0.7 * rng.normal(size=(240, width))
            np.save(root / "arrays" / f"{view}.npy", values.astype(np.float32))
        (root / "arrays" / "labels.txt").write_text(
            "".join(f"{'cat' if i % 2 else 'dog'}\n" for i in range(240))
        )
        self.params = {
            "dataset": {
                "kind": "arrays",
                "path": "arrays",
                "arrays": {view: f"{view}.npy" for view in VIEWS},
                "columns": {"label": "labels.txt"},
                "split": {"test": 0.4},
            },
            "views": {view: {"modality": "array", "encoder": "precomputed"} for view in VIEWS},
            "fit": {
                "score": "canonical",
                "shrinkage": 0.1,
                "n_components": 3,
                "preparation": "raw",
                "hubness": False,
            },
            "evaluate": {"bootstrap": 100, "sheet_queries": 2},
            "gate": {"bootstrap": 500},
            "model": {"name": "planted"},
        }
        self.ws = bare_workspace(root, self.params)
        self.ws.prepare_state()

    def of(self, model, **gate):
        """The same for another model, with its own parameters of the gate."""
        self.params |= {"model": {"name": model}, "gate": {"bootstrap": 500, **gate}}
        return self

    def fit(self, components=3, train=None):
        """Fit and evaluate; `train` edits the pairs table that the fit sees, and only the fit."""
        self.params["fit"]["n_components"] = components
        write_params(self.ws, self.params)
        ingest_stage(self.ws)
        for view in VIEWS:
            embed_stage(self.ws, view)
        honest = self.ws.pairs.read_bytes()
        if train is not None:
            write_pairs(train(read_pairs(self.ws.pairs)), self.ws.pairs)
        fit_stage(self.ws)
        self.ws.pairs.write_bytes(honest)
        evaluate_stage(self.ws)

    def register(self):
        as_run(self.ws, VIEWS)
        self.run, _ = record_run(Project(self.ws), stages_of(VIEWS))
        self.version = register(Project(self.ws).registry, self.run).version
        return self.version

    def gate(self):
        decision = gate(
            Project(self.ws),
            self.run,
            self.version,
            lambda file: evaluate_elsewhere(self.ws, file).queries,
        )
        champion = Project(self.ws).registry.champion()
        return SimpleNamespace(
            decision=decision, champion=champion and champion.version, reason=decision.reason
        )


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """One pipeline, and one registry, for all tests: each has a model of its own."""
    return Pipeline(tmp_path_factory.mktemp("gate") / "repo")


@pytest.fixture
def pipeline(team, request):
    """A pipeline with an honest champion, version 1."""
    made = team.of(re.sub(r"[^A-Za-z0-9]+", "-", request.node.name))
    made.fit()
    made.register()
    assert made.gate().champion == 1
    return made


def stored_model(ws, version):
    """The folder in which the registry keeps a version."""
    with Project(ws).registry.client() as client:
        model = client.get_model_version(ws.params().model.name, str(version.version)).source
    return (
        next(
            path
            for path in (ws.state / "mlflow" / "artifacts").rglob(model.removeprefix("models:/"))
        )
        / "artifacts"
    )


def refused(pipeline):
    """The gate's reason for keeping the champion, twice the same: a second look writes no second
    line.
    """
    first = pipeline.gate()
    lines = pipeline.ws.ledger.read_bytes()
    second = pipeline.gate()
    assert first.decision.verdict == "keep" and first.champion == 1
    assert second.decision == first.decision and pipeline.ws.ledger.read_bytes() == lines
    assert ledger.entries(pipeline.ws.ledger)[-1]["reason"] == first.reason
    return first.reason


def test_a_degraded_model_is_refused(pipeline):
    pipeline.fit(components=1)
    pipeline.register()
    assert refused(pipeline).startswith("worse: mrr -")


def shuffled(pairs):
    """Pairs of items that do not belong together."""
    return pairs.with_columns(pl.col("right_hash").shuffle(seed=1).over("split"))


def test_a_model_fitted_on_shuffled_pairs_is_refused(pipeline):
    pipeline.fit(train=shuffled)
    pipeline.register()
    assert refused(pipeline).startswith("worse: mrr -")
    assert read_json(pipeline.ws.metrics)["mismatch"]["auc"]["value"] < 0.65


def test_a_first_version_fitted_on_shuffled_pairs_is_not_said_to_be_better_than_chance(team):
    for model, train, said in (
        ("honest", None, "there is no champion yet; its MRR is 0."),
        ("shuffled", shuffled, "there is no champion yet, so this version is promoted although"),
    ):
        first = team.of(f"first-{model}")
        first.fit(train=train)
        first.register()
        decided = first.gate()
        assert decided.champion == 1 and decided.reason.startswith(said)
        assert (decided.decision.evidence["chance_p_value"] <= 0.025) == (train is None)
        assert ledger.entries(first.ws.ledger)[-1]["reason"] == decided.reason


def test_a_fit_that_saw_the_held_out_pairs_is_refused(pipeline):
    pipeline.fit(train=lambda pairs: pairs.with_columns(split=pl.lit("train")))
    pipeline.register()
    reason = refused(pipeline)
    assert reason.startswith(
        "leaked or other split: the alignment was fitted on 240 pairs, but the run's training "
        "split has 1"
    )


@pytest.mark.parametrize(
    ("how", "said"), [("items", "held-out left items"), ("groups", "held-out groups")]
)
def test_a_split_with_training_pairs_held_out_is_refused(pipeline, how, said, monkeypatch):
    honest = ingest.ingest

    def leak(params, root):
        result = honest(params, root)
        trained = (
            result.pairs.filter(pl.col("split") == "train")
            .head(30)
            .with_columns(split=pl.lit("test"))
        )
        renamed = {"pair_id": pl.col("pair_id") + "-again"} | (
            {"group": pl.col("group") + "-again"} if how == "items" else {}
        )
        return type(result)(
            pl.concat([result.pairs, trained.with_columns(**renamed)]), result.quarantine
        )

    monkeypatch.setattr(ingest, "ingest", leak)
    pipeline.fit()
    pipeline.register()
    reason = refused(pipeline)
    assert (
        reason.startswith("leaked split: 30 of ") and f"{said} are in training pairs too" in reason
    )


def test_one_evaluated_on_other_data_is_refused(pipeline):
    """Metrics and queries of the training pairs, handed in as if they were of the held-out ones."""
    pipeline.fit()
    honest = pipeline.ws.pairs.read_bytes()
    swap = pl.when(pl.col("split") == "test").then(pl.lit("train")).otherwise(pl.lit("test"))
    write_pairs(read_pairs(pipeline.ws.pairs).with_columns(split=swap), pipeline.ws.pairs)
    evaluate_stage(pipeline.ws)
    pipeline.ws.pairs.write_bytes(honest)
    pipeline.register()
    assert (
        refused(pipeline)
        == "evaluated on other data: its metrics are not of the held-out pairs on record"
    )


def test_queries_of_other_items_under_the_right_evaluation_id_are_refused(pipeline):
    pipeline.fit(components=2)
    queries = pl.read_parquet(pipeline.ws.evaluation / "queries.parquet")
    queries.head(len(queries) - 10).write_parquet(pipeline.ws.evaluation / "queries.parquet")
    pipeline.register()
    assert refused(pipeline).startswith(
        "evaluated on other data: its queries from right to left are not the held-out items"
    )


@pytest.fixture
def asks_few(team):
    """Of 97 held-out groups 20 are asked."""
    settings = dict(team.params["evaluate"])
    team.params["evaluate"]["queries"] = 20
    yield
    team.params["evaluate"] = settings


def test_where_a_sample_is_asked_it_is_that_of_the_record(pipeline, asks_few):
    """The champion is measured on the challenger's sample; one that chose its own is refused."""
    table = pipeline.ws.evaluation / "queries.parquet"
    whole = pl.read_parquet(table)
    pipeline.fit(components=1)
    sample = pl.read_parquet(table)
    assert len(sample) == 2 * 20 and set(sample["gallery"]) == {97}
    pipeline.register()
    decision = pipeline.gate().decision
    assert decision.reason.startswith("worse: mrr -") and decision.evidence["number"] == 1

    pipeline.params["evaluate"]["queries"] = 21  # another sample is no fresh start
    pipeline.fit(components=2)
    pipeline.register()
    assert pipeline.gate().decision.evidence["number"] == 2

    pipeline.params["evaluate"]["queries"] = 20
    pipeline.fit(components=2)
    others = whole.filter(~pl.col("query").is_in(sample["query"].implode()))
    others.sort("group").head(40).write_parquet(table)
    pipeline.register()
    assert "are not the held-out items on record" in refused(pipeline)


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("alignment.safetensors", "artifacts/alignment.safetensors was changed"),
        ("mlflow_model.py", "mlflow_model.py was changed"),
        ("MLmodel", "MLmodel was changed"),
        ("requirements.txt", "requirements.txt is missing"),
        ("python_model.pkl", "python_model.pkl was added"),
    ],
)
def test_one_whose_artifact_was_edited_is_refused(pipeline, file, what):
    pipeline.fit(components=2)
    version = Project(pipeline.ws).registry.version(pipeline.register())
    model = stored_model(pipeline.ws, version)
    if what.endswith("missing"):
        (model / file).unlink()
    elif what.endswith("added"):
        (model / file).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    else:
        path = next(model.rglob(file))
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    reason = refused(pipeline)
    assert reason.startswith(
        f"edited artifact: {pipeline.run.model} version 2: {what} since it was registered"
    )
    with pytest.raises(ArtifactError, match=r"version 2: .* since it was registered"):
        moves.promote(Project(pipeline.ws), 2, "I trust it")


def test_the_hash_in_the_registry_cannot_be_swapped_with_the_file(pipeline):
    """Whoever edits file and tags of a version is caught by the ledger, which has the hash that
    was judged.
    """
    pipeline.fit(components=1)
    pipeline.register()
    pipeline.gate()
    Project(pipeline.ws).registry.tag_version(
        2,
        "alignment_sha256",
        Project(pipeline.ws).registry.version(1).tags["alignment_sha256"],
    )
    with pytest.raises(ArtifactError, match="but the ledger's line 2 judged"):
        moves.promote(Project(pipeline.ws), 2, "why not")


def test_limits_of_size_and_time_keep_a_challenger_off(team):
    for model, limits, said in (
        ("heavy", {"max_megabytes": 0.001}, "too large: 0."),  # its code counts
        ("slow", {"max_milliseconds": 1e-6}, "too slow: "),
    ):
        kept = team.of(model, **limits)
        kept.fit()
        kept.register()
        answer = kept.gate()
        assert answer.reason.startswith(said) and answer.champion is None
    fine = team.of("fine", max_milliseconds=1e6, max_megabytes=100.0)
    fine.fit()
    fine.register()
    answer = fine.gate()
    assert answer.champion == 1 and 0 < answer.decision.evidence["milliseconds"] < 1e6
    assert milliseconds(csa.load(fine.ws.alignment)) > 0


def test_the_evidence_says_what_was_judged(pipeline):
    pipeline.fit(components=1)
    pipeline.register()
    evidence = pipeline.gate().decision.evidence
    assert evidence["evaluation_id"] == pipeline.run.evaluation_id
    assert evidence["challenger"]["alignment_sha256"] == pipeline.run.alignment_sha256
    assert evidence["champion"]["run_id"] == Project(pipeline.ws).registry.version(1).tags["run_id"]
    names = [row["slice"] for row in evidence["slices"]]
    assert {"direction left_to_right", "label cat", "label dog"} <= set(names)
    # what MLflow takes as a tag
    assert len(json.dumps(ledger.entries(pipeline.ws.ledger)[-1])) < 8000


def test_files_are_checked_whole_and_the_size_is_told(pipeline):
    version = Project(pipeline.ws).registry.version(1)
    assert (
        downloads.verify_model(Project(pipeline.ws).registry, version)
        > pipeline.ws.alignment.stat().st_size
    )
    shutil.rmtree(stored_model(pipeline.ws, version))
    with pytest.raises(
        ArtifactError, match=r"version 1: MLmodel is missing|cannot be fetched from the registry"
    ):
        downloads.verify_model(Project(pipeline.ws).registry, version)


# Slices, on made tables.


def sliced(queries, name, members):
    return queries.select("direction", "query").filter(members).with_columns(slice=pl.lit(name))


def test_a_challenger_that_is_worse_on_a_slice_is_kept_off_with_its_name():
    old = queries_table(n=200)
    few = pl.Series([i % 200 < 50 for i in range(400)])
    new = old.with_columns(
        mrr=pl.when(few).then(pl.col("mrr") - 0.05).otherwise(pl.col("mrr") + 0.05)
    )
    slices = pl.concat([sliced(old, "rare", few), sliced(old, "common", ~few)])
    assert decide(new, old, GATE).verdict == "promote"
    decision = decide(new, old, GATE, slices)
    assert decision.verdict == "keep" and decision.reason.startswith(
        "worse on rare: mrr -0.0500, at most -0.0500 with all 2 slices"
    )
    assert decision.evidence["slices"][0] == {"slice": "rare", "gain": -0.05, "at_most": -0.05}
    assert decide(new, old, GateParams(slice_margin=0.06), slices).verdict == "promote"


def test_small_slices_are_counted_not_judged():
    old = queries_table(n=200)
    few = pl.Series([i % 200 < 20 for i in range(400)])
    new = old.with_columns(
        mrr=pl.when(few).then(pl.col("mrr") - 0.05).otherwise(pl.col("mrr") + 0.05)
    )
    decision = decide(new, old, GATE, sliced(old, "tiny", few))
    assert decision.verdict == "promote" and decision.evidence == {
        "slices_compared": 0,
        "slices_too_small": 1,
    }


def test_many_slices_of_chance_keep_nobody_off_too_often():
    """A challenger that is better everywhere by much less than the noise: of 20 slices one by
    one, some would look worse.
    """
    refused = naive = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        old = queries_table(n=400, group_size=1)
        gain = rng.normal(0.01, 0.15, size=800)
        label = np.array([i % 20 for i in range(400)] * 2)
        slices = old.select("direction", "query").with_columns(
            slice=pl.Series([f"s{k}" for k in label])
        )
        decision = decide(
            old.with_columns(mrr=pl.col("mrr") + pl.Series(gain)),
            old,
            GateParams(bootstrap=400),
            slices,
        )
        lowest = min(row["at_most"] for row in decision.evidence["slices"])
        refused += lowest < 0
        naive += any(
            gain[label == k].mean() + 1.96 * gain[label == k].std() / 40**0.5 < 0 for k in range(20)
        )
    assert refused <= 3 < naive  # nominal: 1 of 40


def test_slices_are_made_from_the_items():
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(12)],
            "group": [f"g{i // 2}" for i in range(9)] + ["a", "b", "c"],
            "split": ["test"] * 11 + ["train"],
            "label": ["cat", "dog", None] * 4,
            "image": ["x"] * 12,
            "image_hash": [item_hash(f"i{i}") for i in range(12)],
            "text": [" ".join(["w"] * (i + 1)) for i in range(12)],
            "text_hash": [item_hash(f"t{i}") for i in range(12)],
        }
    )
    items = items_of(pairs, ["text"])
    items = items.with_columns(pl.col("image_hash", "text_hash").bin.encode("hex"))
    found = slices_of(
        items, ("image", "text"), ["direction", "label", "caption_length", "group_size"]
    )
    sizes = {name: len(part) for (name,), part in found.group_by("slice")}
    assert sizes == {
        "direction image_to_text": 11,
        "direction text_to_image": 11,
        "label cat": 8,
        "label dog": 8,
        "caption_length (text, words) 1-4": 4,
        "caption_length (text, words) 5-7": 3,
        "caption_length (text, words) 8-11": 4,
        "group_size (pairs) 1": 6,
        "group_size (pairs) 2": 16,
    }
    with pytest.raises(
        ParamsError,
        match="no slice 'colour'; there are direction, caption_length, group_size, group, label",
    ):
        slices_of(items, ("image", "text"), ["colour"])


def test_equal_texts_of_different_images_are_no_leak():
    items = pl.DataFrame(
        {
            "group": ["a", "b"],
            "split": ["train", "test"],
            "image_hash": ["1", "2"],
            "text_hash": ["9", "9"],
        }
    )
    assert leaked(items, "image") is None
    assert leaked(items, "text") == "1 of 1 held-out text items are in training pairs too"


def test_an_unpaired_item_that_is_held_out_is_a_leak():
    columns = {"pair_id": ["a", "b", None], "group": ["1", "2", None]}
    hashes = {"image_hash": ["i", "k", None], "text_hash": ["t", "u", "v"]}
    items = pl.DataFrame({**columns, **hashes, "split": ["train", "test", "unpaired"]})
    assert leaked(items, "image") is None
    items = items.with_columns(text_hash=pl.Series(["t", "u", "u"]))
    assert leaked(items, "image") == "1 held-out text items are unpaired items too"
