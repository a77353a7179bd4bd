"""Whoever can write to the registry, or to the files of a clone, cannot put a version of theirs in
the place of one that was judged.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from team import trust
from workspaces import FIT, STAGES, gate, make_workspace, queries_table, run_once, write_params

from csa.errors import ArtifactError, InputError
from csa.operations.gate.decide import propose
from csa.operations.inspection import lineage
from csa.operations.inspection.compare import compare
from csa.operations.ledger import champion, counted, ledger, moves, standing, team_ledger
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registering import register
from csa.operations.registry.versions import versions_table
from csa.operations.registry.vouched import is_vouched
from csa.operations.runs.records import file_sha256, read_record, record_run
from csa.operations.starting import NoStartError, start_of_champion
from csa.operations.trust.keys import KEY_VARIABLE, make_key
from csa.results.fit import Searched
from csa.storage.files import write_json

pytestmark = pytest.mark.usefixtures("local_registry")


@pytest.fixture
def attacked(tmp_path):
    """Version 1, the champion, and version 2, which is worse."""
    runs = []
    for seed, quality in ((0, 0.8), (1, 0.2)):
        ws = make_workspace(tmp_path / "repo", seed, quality)
        run, _ = record_run(Project(ws), STAGES)
        version = register(Project(ws).registry, run).version
        gate(Project(ws), run, version, never)
        runs.append(run)
    project = Project(ws)
    assert project.registry.champion().version == 1
    return SimpleNamespace(ws=ws, runs=runs, project=project)


def never(alignment):
    raise AssertionError("nothing is to be measured again")


def folder_of(project, number):
    """Where the files of a version lie."""
    with project.registry.client() as client:
        version = client.get_model_version(project.model, str(number))
        source = client.get_model_version_download_uri(project.model, version.version)
    return Path(source.removeprefix("file://"))


def test_a_version_that_was_swapped_is_used_by_nobody(attacked):
    project = attacked.project
    first, second = (project.registry.version(number) for number in (1, 2))
    with project.registry.writing() as client:
        for key, value in second.tags.items():
            client.set_model_version_tag(project.model, "1", key, value)
    places = folder_of(project, 1), folder_of(project, 2)
    for file in places[1].rglob("*.safetensors"):
        shutil.copy(file, places[0] / file.relative_to(places[1]))
    swapped = project.registry.version(1)
    assert swapped.tags["alignment_sha256"] == second.tags["alignment_sha256"]
    assert swapped.tags["alignment_sha256"] != first.tags["alignment_sha256"]
    for use in (
        lambda: downloads.alignment_file(project.registry, swapped),
        lambda: downloads.verify_model(project.registry, swapped),
        lambda: downloads.queries_of(project.registry, swapped),
        lambda: downloads.items_of(project.registry, swapped),
        lambda: downloads.fit_report(project.registry, swapped),
        lambda: compare(project, "1", "2"),
        lambda: lineage.of_model(project, "1"),
    ):
        with pytest.raises(ArtifactError, match="the version was changed"):
            use()
    assert [check.name for check in standing.verify_all(project) if not check.ok] == [
        "files of version 1"
    ]
    challenger = make_workspace(attacked.ws.root, 2, 0.9)
    run, _ = record_run(Project(challenger), STAGES)
    version = register(Project(challenger).registry, run).version
    decision = gate(Project(challenger), run, version, never)
    assert decision.verdict == "keep" and decision.reason.startswith("the champion is not what it")


def planted(project, tags, source=None):
    """A version of theirs with these tags; its number."""
    with project.registry.writing() as client:
        source = source or str(folder_of(project, 2))
        return int(client.create_model_version(project.model, source, tags=tags).version)


def test_a_version_that_waits_under_the_id_of_a_run_is_not_that_run(attacked):
    """Runs can be computed elsewhere first, so their ids are known before they are registered."""
    project = attacked.project
    ws = make_workspace(attacked.ws.root, 5, 0.9)
    run, _ = record_run(Project(ws), STAGES)
    theirs = dataclasses.asdict(run)
    tags = dict(project.registry.version(2).tags) | {
        key: str(theirs[key]) for key in project.registry.version(2).tags if key in theirs
    }
    number = planted(project, tags)
    registered = register(Project(ws).registry, run)
    assert registered.created and registered.version == number + 1
    assert not is_vouched(project.registry, Project(ws).registry.version(number))
    again = register(Project(ws).registry, run)
    assert again.version == registered.version and not again.created


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("files", "[" * 100_000),
        ("files", '{"MLmodel": 1}'),
        ("records", "no JSON"),
        ("encoders", "[]"),
        ("alignment_sha256", "../../../x"),
        ("mrr_forward", "much"),
    ],
)
def test_a_tag_that_is_none_is_one_line_where_it_is_read(attacked, key, value):
    project = attacked.project
    with project.registry.writing() as client:
        client.set_model_version_tag(project.model, "2", key, value)
    version = project.registry.version(2)
    assert len(versions_table(project.registry.versions())) == 2
    reads = [
        lambda: version.mapping("files"),
        lambda: version.mapping("records"),
        lambda: version.mapping("encoders"),
        lambda: version.sha256("alignment_sha256"),
        lambda: downloads.verify_model(project.registry, version),
    ]
    for read in reads:
        with contextlib.suppress(ArtifactError):
            read()
    if key != "mrr_forward":
        with pytest.raises(ArtifactError, match=f"its tag {key}"):
            [read() for read in reads[:4]]


def test_a_folder_of_the_registry_that_holds_no_plain_files_is_not_copied(attacked):
    project, version = attacked.project, attacked.project.registry.version(1)
    folder = folder_of(project, 1)
    alignment = folder / "artifacts" / "alignment.safetensors"
    alignment.unlink()
    alignment.symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match="is no plain file"):
        downloads.verify_model(project.registry, version)
    alignment.unlink()
    os.mkfifo(alignment)
    with pytest.raises(ArtifactError, match="is no plain file"):
        downloads.verify_model(project.registry, version)
    alignment.unlink()
    alignment.touch()
    os.truncate(alignment, shutil.disk_usage(folder).free + (1 << 30))
    with pytest.raises(ArtifactError, match="is it what was registered"):
        downloads.verify_model(project.registry, version)


def test_the_registry_sends_nobody_to_an_address(attacked, monkeypatch):
    project, home = attacked.project, attacked.ws.home
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked = []

    class Nobody(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nobody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = f"127.0.0.1:{server.server_port}"
    number = planted(
        project,
        project.registry.version(2).tags,
        f"http://{where}/api/2.0/mlflow-artifacts/artifacts/x",
    )
    source = f"models:/{project.model}/{number}"
    with (
        pytest.raises(ArtifactError, match="which is not the registry's own address"),
        project.registry.fetched(source),
    ):
        pass
    assert not asked
    (home / ".csa" / "addresses").write_text(where)
    with pytest.raises(ArtifactError, match="cannot be fetched"), project.registry.fetched(source):
        pass
    assert asked, "where it is allowed it is asked"
    server.shutdown()


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": None},
        {"to": "2"},
        {"seq": "3"},
        {"evidence": ["x"]},
        {"gate": 3},
        {"when": 5},
        {"reason": None},
        {"gain": 0.1, "gate": "by hand"},
    ],
    ids=str,
)
def test_a_line_of_another_form_is_named(attacked, change):
    forged(attacked.project, **change)
    with pytest.raises(ArtifactError, match="is no line of a ledger; delete the tag"):
        champion.reconcile(attacked.project)


def test_a_planted_version_is_not_accepted_as_champion(attacked):
    write_params(attacked.ws, {"gate": {"outside_moves": "accept"}})
    project, planted = Project(attacked.ws), str(folder_of(attacked.project, 2))
    tags = project.registry.version(1).tags
    with project.registry.writing() as client:
        version = client.create_model_version(project.model, planted, tags=tags).version
        client.set_registered_model_alias(project.model, "champion", version)
    (note,) = champion.reconcile(project)
    assert "it was moved back" in note and project.registry.champion().version == 1
    assert ledger.history(attacked.ws.ledger, project.model)[-1]["verdict"] == "repair"
    with pytest.raises(ArtifactError, match="not made by a run"):
        lineage.of_model(project, "3")


@pytest.fixture
def searched(tmp_path):
    """Version 1, the champion, and version 2, which is worse, each of a fit that searched."""

    def edit(ws):
        found = Searched(road="full", why="", pairs=60, held_out_mrr=0.5)
        write_json(ws.fit_report, dataclasses.replace(FIT, searched=found).as_dict())

    root = tmp_path / "repo"
    for quality in (0.8, 0.2):
        last = run_once(root, queries_table(quality=quality), edit=edit)
    assert last.champion == 1
    return Project(last.ws)


def run_of(project, number):
    return project.registry.version(number).tags["run_id"]


def test_choices_are_begun_with_only_where_the_ledger_names_the_champion(searched, monkeypatch):
    assert start_of_champion(searched).run_id == run_of(searched, 1)
    theirs = planted(searched, dict(searched.registry.version(2).tags))
    for number in (theirs, 2):
        searched.registry.set_champion(number)
        with pytest.raises(NoStartError, match="by the ledger it is version 1"):  # the alias alone
            start_of_champion(searched)
    line = forged(searched)
    assert start_of_champion(searched).run_id == run_of(searched, line["to"]), "nobody signs here"
    trust(searched.ws.home, key_at(searched.ws.home / "ours", monkeypatch), "promote")
    with pytest.raises(NoStartError, match="by the ledger it is"):
        start_of_champion(searched)
    searched.registry.set_champion(1)
    assert start_of_champion(searched).run_id == run_of(searched, 1), "this clone wrote that line"


SWAPPED = {
    "file": "the registry's file was changed or damaged",
    "hash": "the registry says its registration is",
    "no hash": "the registry says its registration is",
    "run": "the registry says its run id is",
}


@pytest.mark.parametrize("which", SWAPPED)
def test_choices_that_were_swapped_are_not_begun_with(searched, which):
    version = searched.registry.version(1)
    for folder in searched.ws.runs.iterdir():  # as in a clone that has only the registry
        (folder / "fit.json").unlink(missing_ok=True)
    assert start_of_champion(searched).run_id == run_of(searched, 1)
    with searched.registry.writing() as client:
        uri = client.get_run(version.mlflow_run).info.artifact_uri
        file = Path(uri.removeprefix("file://")) / "fit.json"
        if which != "run":
            theirs = json.loads(file.read_text()) | {"preparation": ["root", "root"]}
            file.write_text(json.dumps(theirs))
        changed = {
            "file": {},
            "hash": {"records": json.dumps({"fit.json": file_sha256(file)})},
            "no hash": {"records": "{}"},
            "run": {"run_id": run_of(searched, 2)},
        }
        for key, value in changed[which].items():
            client.set_model_version_tag(searched.model, "1", key, value)
    with pytest.raises(NoStartError, match=SWAPPED[which]):
        start_of_champion(searched)


def forged(project, key=None, **changes):
    """A line in the registry's copy of the ledger that makes version 2 champion, by another clone;
    returns it.
    """
    last = ledger.history(project.ws.ledger, project.model)[-1]
    line = last | {"seq": last["seq"] + 1, "previous": [last["hash"]], "who": "boss"}
    line |= {"verdict": "promote", "from": 1, "to": 2, "challenger": 2, "when": ledger.now()}
    line |= changes
    line["hash"] = ledger.line_hash(line)
    if key is not None:
        line["signature"] = dataclasses.asdict(key.sign(ledger.signed_bytes(line)))
    with project.registry.client() as client:
        runs = team_ledger._runs(client, project.model)
    team_ledger._push(project.registry, runs, project.model, [line])
    return line


def test_a_forged_line_is_not_carried_out(attacked):
    write_params(attacked.ws, {"gate": {"outside_moves": "repair"}})
    project = Project(attacked.ws)
    forged(project)
    (note,) = champion.reconcile(project)
    assert "boss on" in note and "has to finish it" in note
    assert project.registry.champion().version == 1
    assert ledger.history(attacked.ws.ledger, project.model)[-1]["who"] == "boss", "it is shown"


def test_where_keys_are_trusted_a_line_counts_when_one_of_them_signed_it(attacked, monkeypatch):
    project, home = attacked.project, attacked.ws.home
    ours, strange = (key_at(home / name, monkeypatch) for name in ("ours", "strange"))
    trust(home, ours, "promote")
    for key in (None, strange):
        line = forged(project, key)
        assert champion.reconcile(project) == (), "the line is as if it were not there"
        assert line["hash"] not in {one["hash"] for one in counted.history(project.ws, "toy")}
    checks = {check.name: check for check in standing.verify_all(project)}
    assert not checks["signatures"].ok and checks["champion"].ok
    forged(project, ours)
    (note,) = champion.reconcile(project)
    assert "a move to version 2 was not finished: boss on" in note


def test_where_keys_are_trusted_nobody_else_moves_the_champion(attacked, monkeypatch):
    project, home, ledger_file = attacked.project, attacked.ws.home, attacked.ws.ledger
    ours = key_at(home / "ours", monkeypatch)
    trust(home, ours, "compute")
    before = ledger_file.read_bytes()
    with pytest.raises(InputError, match="does not trust the key here to promote"):
        moves.promote(project, 2, "because")
    better = make_workspace(attacked.ws.root, 2, 0.95)
    run, _ = record_run(Project(better), STAGES)
    version = register(Project(better).registry, run).version
    decision = gate(Project(better), run, version, never)
    assert decision.verdict == "keep" and "does not trust the key here" in decision.reason
    project.registry.set_champion(2)
    (note,) = champion.reconcile(project)
    assert "it stays there" in note and ledger_file.read_bytes() == before
    trust(home, ours, "promote")
    (note,) = champion.reconcile(project)
    assert "it was moved back (no key that trusted-keys.toml trusts has signed that move)" in note
    line = ledger.history(ledger_file, project.model)[-1]
    assert line["verdict"] == "repair" and line["signature"]["key"] == ours.public
    assert gate(Project(better), run, version, never).verdict == "promote", "it is asked anew"


def key_at(path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    return make_key()[0]


def test_an_edited_record_is_not_judged(attacked):
    ws, (_, run) = attacked.ws, attacked.runs
    folder = ws.runs / run.run_id
    queries = pl.read_parquet(folder / "queries.parquet").with_columns(mrr=pl.lit(1.5))
    queries.write_parquet(folder / "queries.parquet")
    sha256 = file_sha256(folder / "queries.parquet")
    record = json.loads((folder / "run.json").read_text()) | {"queries_sha256": sha256}
    (folder / "run.json").write_text(json.dumps(record))
    write_params(ws, {"gate": {"seed": 7, "metric": "recall_at_1"}})
    decision = propose(Project(ws), read_record(ws, run.run_id), 2, never).decision
    assert decision.verdict == "keep" and decision.reason.startswith("edited record")

    make_workspace(ws.root, 3, 0.5)  # as if it had been edited before it was registered
    impossible = pl.read_parquet(ws.evaluation / "queries.parquet").with_columns(mrr=pl.lit(1.5))
    impossible.write_parquet(ws.evaluation / "queries.parquet")
    run, _ = record_run(Project(ws), STAGES)
    version = register(Project(ws).registry, run).version
    decision = gate(Project(ws), dataclasses.replace(run), version, never)
    assert decision.verdict == "keep" and decision.reason.startswith("edited measurements")
