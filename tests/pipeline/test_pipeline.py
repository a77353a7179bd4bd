"""The whole pipeline as a user meets it: real encoders, real DVC, Prefect, DuckDB and MLflow, in
a clone of its own.
"""

import hashlib
import json
import re
import time
from contextlib import suppress

import polars as pl
import psutil
import pytest
import yaml
from small_repo import SHAPES_PARAMS, SmallRepo, draw_shape

from csa.operations.opened import Project
from csa.params.fit import FitParams

pytestmark = pytest.mark.pipeline


def alignment_hash(repo):
    return hashlib.sha256(repo.ws.alignment.read_bytes()).hexdigest()


def locked(repo):
    stages = yaml.safe_load((repo.root / "dvc.lock").read_text())["stages"]
    stages.pop("code", None)  # `csa run` writes the hashes of the code itself
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A repository after its first run, which nothing disturbed, and that run's summary."""
    repo = SmallRepo(tmp_path_factory.mktemp("undisturbed") / "repo")
    return repo, repo.csa_run(whole=True)


def test_the_first_run_does_the_whole_job(undisturbed):
    repo, summary = undisturbed
    assert {stage["stage"]: stage["status"] for stage in summary["stages"]} == {
        name: "ran" for name in ("ingest", "embed@image", "embed@text", "check", "fit", "evaluate")
    }
    assert summary["features"]["image"]["computed"] == summary["features"]["text"]["computed"] == 64
    assert summary["model"] == {"name": "shapes", "version": 1, "created": True}
    assert summary["gate"]["verdict"] == "promote"
    assert summary["gate"]["reason"].startswith("there is no champion yet; its MRR is ")
    for direction in ("image_to_text", "text_to_image"):
        recall = summary["metrics"]["retrieval"][direction]["recall_at_10"]
        assert recall["low"] <= recall["value"] <= recall["high"] and recall["value"] > 0.6
    for picture in ("spectrum", "recall", "mismatch", "sheet_image_to_text", "sheet_text_to_image"):
        assert (repo.ws.pictures / f"{picture}.png").read_bytes()[:4] == b"\x89PNG"
    lineage = Project(repo.ws).registry.versions()[0].tags
    outputs = locked(repo)
    for path in (
        "data/pairs.parquet",
        "data/features/image",
        "data/features/text",
        "data/alignment.safetensors",
    ):
        assert lineage[f"dvc.{path}"] == outputs[path]
    assert len(lineage["git_commit"]) == 40 and len(lineage["params_hash"]) == 64


def test_the_second_run_executes_and_appends_nothing(undisturbed):
    repo, summary = undisturbed
    before = repo.state()
    again = repo.csa_run()
    assert {stage["status"] for stage in again["stages"]} == {"unchanged"}
    assert (again["run_id"], again["new_run"], again["model"]["created"]) == (
        summary["run_id"],
        False,
        False,
    )
    assert repo.state() == before


def test_dvc_alone_gives_the_same_bytes(undisturbed, tmp_path):
    repo, _ = undisturbed
    other = SmallRepo(tmp_path / "elsewhere")
    done = other.run("repro", "evaluate", module="dvc")
    assert done.returncode == 0, done.stderr
    assert locked(other) == locked(repo)


def test_the_questions_are_answered(undisturbed):
    repo, summary = undisturbed
    status = json.loads(repo.run("status", "--json").stdout)
    assert (
        status["up_to_date"]
        and status["stages"]["fit"]["pairs"] == summary["metrics"]["pairs"]["train"]
    )
    plan = json.loads(repo.run("plan", "--json").stdout)
    assert {view["view"]: (view["items"], view["missing"]) for view in plan["views"]} == {
        "image": (64, 0),
        "text": (64, 0),
    }
    metrics = json.loads(repo.run("metrics", "--json").stdout)
    assert [row["run_id"] for row in metrics] == [summary["run_id"]]
    count = repo.run("metrics", "--json", "--sql", "SELECT count(*) AS n FROM queries").stdout
    assert json.loads(count) == [{"n": 2 * summary["metrics"]["pairs"]["test"]}]
    assert json.loads(repo.run("models", "--json").stdout)[0]["aliases"] == "challenger, champion"
    of_last, of_champion = (repo.run("choices", *version).stdout for version in ([], ["champion"]))
    chosen, fitted = yaml.safe_load(of_last)["fit"], json.loads(repo.ws.fit_report.read_text())
    assert (
        of_champion == of_last
        and chosen["shrinkage"] == fitted["shrinkage"]
        and chosen["score"] == fitted["score"]
    )
    FitParams(**chosen)


def test_an_encoder_that_was_changed_since_the_fit_is_not_asked(undisturbed):
    repo, _ = undisturbed
    views = SHAPES_PARAMS["views"]
    flipped = views | {"image": views["image"] | {"augment": "flip"}}
    repo.set_params(SHAPES_PARAMS | {"views": flipped})
    try:
        done = repo.run("search", "shapes/images/red-star.png")
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("csa: error: view 'image': the alignment was fitted with the")
        assert "run `csa run`" in done.stderr and done.stderr.count("\n") == 1
        assert repo.run("search", "a red star").returncode == 0, "texts are seen as before"
    finally:
        repo.set_params(SHAPES_PARAMS)
    assert repo.run("search", "shapes/images/red-star.png").returncode == 0


def test_search_and_score_tell_right_from_wrong(undisturbed):
    repo, _ = undisturbed
    found = json.loads(
        repo.run("search", "a blue circle", "-k", "5", "--save", "sheet.png", "--json").stdout
    )["results"]
    assert "images/blue-circle.png" in [row["item"] for row in found]
    assert (repo.root / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    right, wrong = (
        json.loads(repo.run("score", "shapes/images/red-star.png", text, "--json").stdout)
        for text in ("a red star", "a black line")
    )
    assert right["score"] > wrong["score"]
    held_out = pl.read_parquet(repo.ws.evaluation / "pairs.parquet")
    assert held_out["group"].is_unique().all(), "so conformal p-values are plain ranks"
    for answer, verdict in ((right, "match"), (wrong, "mismatch")):
        decision, score, n = answer["decision"], answer["score"], len(held_out)
        assert decision["p_match"] == pytest.approx(
            (1 + (held_out["score"] <= score).sum()) / (n + 1)
        )
        assert decision["p_mismatch"] == pytest.approx(
            (1 + (held_out["stranger_score"] >= score).sum()) / (n + 1)
        )
        assert (decision["verdict"], decision["alpha"]) == (verdict, 0.1)
        assert (decision["p_match"] > 0.1) == (verdict == "match") != (decision["p_mismatch"] > 0.1)
    (repo.root / "labels.txt").write_text("a blue circle\na black line\n")
    asked = ["-l", "a red star", "--labels", "labels.txt", "--template", "{label}", "--json"]
    labelled = repo.run("classify", "shapes/images/red-star.png", *asked)
    assert [row["labels"][0]["label"] for row in json.loads(labelled.stdout)["files"]] == [
        "a red star"
    ]
    texts = json.loads(
        repo.run("search", "shapes/images/red-star.png", "-k", "3", "--json").stdout
    )["results"]
    assert all(row["item"].startswith("a ") for row in texts)


def test_many_queries_answer_as_each_alone(undisturbed):
    repo, _ = undisturbed
    asked = ["a blue circle", "shapes/images/red-star.png"]
    alone = [json.loads(repo.run("search", query, "-k", "3", "--json").stdout) for query in asked]
    together = repo.run("search", *asked, "-k", "3", "--save", "both.png", "--json")
    assert json.loads(together.stdout) == alone and (repo.root / "both.png").stat().st_size > 5_000
    typed = repo.run("search", "-k", "3", "--json", typed=f"{asked[0]}\n\ngone.png\n{asked[1]}\n")
    assert [json.loads(line) for line in typed.stdout.splitlines()] == alone
    assert (
        typed.returncode == 2
        and "'gone.png' looks like the name of a file" in typed.stderr
        and "1 of the queries could" in typed.stderr
    )
    words = repo.run("search", *asked, "-k", "2").stdout.splitlines()
    assert [words[0], words[3]] == asked and len(words) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "nothing.png", "a red star"), "'nothing.png': view 'image' takes images, and"),
        (("score", "shapes/images/red-star.png", "  "), "the text is empty"),
        (
            ("search", "shapes/images/read-star.png"),
            "looks like the name of a file, but there is no such file",
        ),
        (("status", "-w", "nowhere"), "no workspace 'nowhere'"),
        (("choices", "77"), "has no version 77"),
        (("run", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("metrics", "--sql", "DROP TABLE runs"), "SQL"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(undisturbed, arguments, message):
    repo, _ = undisturbed
    before = repo.state()
    done = repo.run(*arguments)
    assert (
        done.returncode == 2
        and message in done.stderr
        and len(done.stderr.strip().splitlines()) == 1
    )
    assert repo.state() == before


def test_a_run_on_bad_data_is_one_line_and_changes_nothing(undisturbed):
    repo, summary = undisturbed
    rows, before = repo.table(), repo.state()
    try:
        repo.write_table([*rows, {"id": "empty", "image": rows[0]["image"], "text": " "}])
        done = repo.run("run")
    finally:
        repo.write_table(rows)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("csa: error: 1 of 65 rows are unusable: row 65 (id empty): text: ")
    after = repo.state()
    assert {name for name in before if not name.startswith("data/")} <= after.keys()
    assert all(after[name] == before[name] for name in before if not name.startswith("data/"))
    assert repo.run_here()["run_id"] == summary["run_id"]
    assert repo.state() == before


def test_kill_9_anywhere_costs_at_most_a_batch_and_ends_the_same(undisturbed, tmp_path):
    repo = SmallRepo(tmp_path / "repo")
    cache = repo.ws.cache

    def batches(encoder):
        return len(list(cache.glob(f"{encoder}*/*.safetensors")))

    def in_stage(name, seconds):
        def condition(process):
            for child in process.children(recursive=True):
                try:
                    if "csa.pipeline" in child.cmdline() and name in child.cmdline():
                        return time.time() - child.create_time() > seconds
                except psutil.Error:
                    continue
            return False

        return condition

    repo.kill_when(lambda process: batches("efficientnet") >= 3, whole=False)
    finished = 4 * batches("efficientnet")
    repo.kill_when(in_stage("fit", 0.5), whole=False)
    assert repo.stage_record("embed@image")["reused"] >= finished >= 12
    assert (
        repo.stage_record("embed@image")["computed"]
        == 64 - repo.stage_record("embed@image")["reused"]
    )
    repo.kill_when(lambda _: (repo.ws.evaluation / "queries.parquet").is_file(), whole=False)
    artifacts = repo.ws.state / "mlflow" / "artifacts"
    repo.kill_when(lambda process: any(artifacts.rglob("*.safetensors")))
    assert repo.csa_run()["model"] == {"name": "shapes", "version": 1, "created": True}
    assert alignment_hash(repo) == alignment_hash(undisturbed[0])
    assert locked(repo) == locked(undisturbed[0])
    assert len(Project(repo.ws).registry.versions()) == 1


def test_a_killed_run_whose_stage_lives_on_does_not_stop_the_next(undisturbed, tmp_path):
    repo, servers = SmallRepo(tmp_path / "repo"), []

    def amid_pictures(process):
        with suppress(psutil.Error):  # another of its processes has ended just now
            started = process.children(recursive=True)
            servers[:] = [one for one in started if "csa.flows.prefect_server" in one.cmdline()]
        return any(repo.ws.cache.glob("efficientnet*/*.safetensors"))

    repo.kill_when(amid_pictures, everything=False)
    assert servers and psutil.wait_procs(servers, timeout=60)[1] == [], "Prefect's server ends too"
    assert repo.csa_run()["model"]["version"] == 1
    assert alignment_hash(repo) == alignment_hash(undisturbed[0])


def test_a_change_costs_what_it_changes(undisturbed, tmp_path):
    repo, _ = undisturbed
    draw_shape("pink", "star").save(repo.root / "shapes" / "images" / "pink-star.png")
    rows = repo.table()
    repo.write_table(
        [*rows, {"id": "pink-star", "image": "images/pink-star.png", "text": "a pink star"}]
    )
    summary = repo.run_here()
    for view in ("image", "text"):
        record = repo.stage_record(f"embed@{view}")
        assert (record["computed"], record["reused"]) == (1, 64)
    assert summary["model"] == {"name": "shapes", "version": 2, "created": True}
    rows = repo.table()
    rows[3]["text"] = "a plain red cross"
    repo.write_table(rows)
    repo.run_here()
    assert [repo.stage_record(f"embed@{view}")["computed"] for view in ("image", "text")] == [0, 1]


def test_a_damaged_shard_is_repaired(undisturbed):
    repo, _ = undisturbed
    repo.run_here()
    before = alignment_hash(repo)
    shard = next(repo.ws.features("image").glob("*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.chmod(0o644)
    shard.write_bytes(bytes(content))
    status = json.loads(repo.run("status", "--json").stdout)
    assert "embed@image" in status["out_of_date"]
    repo.run_here()
    assert shard.read_bytes() != bytes(content) and alignment_hash(repo) == before


@pytest.mark.parametrize(
    ("held_out", "limits", "said"),
    [
        (
            0.3,
            {"fewest_groups": [None, 1000.0]},
            r"refused: fewest_groups: \d+ training groups; the limit is 1000",
        ),
        (
            0.6,
            {"fewest_groups": [None, None], "lost_groups": [None, 0.2]},
            r"refused: lost_groups: \d+ training groups, the champion had \d+; the limit is 0.2",
        ),
    ],
)
def test_refused_data_is_exit_code_1_and_changes_nothing(undisturbed, held_out, limits, said):
    repo, _ = undisturbed
    repo.run_here()
    before = repo.state()
    known = (repo.root / "params.yaml").read_text()
    try:
        dataset = {**SHAPES_PARAMS["dataset"], "split": {"test": held_out}}
        repo.set_params({**SHAPES_PARAMS, "dataset": dataset, "checks": limits})
        done = repo.run("run")
        assert done.returncode == 1 and re.search(said, done.stderr.splitlines()[-1]), done.stderr
    finally:
        (repo.root / "params.yaml").write_text(known)
    assert repo.run_here()["new_run"] is False
    after = repo.state()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= {"data/checks.json", "dvc.lock"}
