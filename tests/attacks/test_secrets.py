"""A secret in an address is nowhere shown, stored or sent."""

import json

import pytest
import yaml
from workspaces import STAGES, make_workspace

from csa.errors import CSAError, RegistryError, StageError
from csa.flows import watching
from csa.masking import masked, masked_all
from csa.operations.cache import dvc, sharing
from csa.operations.opened import Project
from csa.operations.runs import executions, metrics
from csa.operations.runs.records import record_run

SECRETS = [f"S3CR3T{number:02d}" for number in range(12)]
PLANTED = [
    "http://joe:{}@127.0.0.1:9/mlflow",
    "https://hooks.example/services/T0/{}",
    "https://hooks.example/?token={}",
    "slack://{}/b/c",
    "mailto://joe:{}@example.org",
    "tcp://joe:{}@10.0.0.5:8786",
    "s3://{}:x@bucket/path",
    "postgresql+psycopg2://joe:{}@db/mlflow",
    "ssh://joe:{}@host/path",
    "https://host/path#{}",
    "HTTPS://joe:{}@host",
    "https://account.blob.example/c?sv=1&sig={}",
]


@pytest.mark.parametrize(("address", "secret"), list(zip(PLANTED, SECRETS, strict=True)))
def test_every_kind_of_address_is_masked(address, secret):
    address = address.format(secret)
    for text in (address, f"no answer from '{address}' (refused)", f"({address}), and so on"):
        assert secret not in masked(text)
    assert secret not in json.dumps(masked_all({"a": [address], "b": {"c": address}}))
    assert secret not in str(CSAError(f"{address}: broken")), "every error of ours is masked"


def test_a_word_of_many_letters_is_masked_at_once_and_cut():
    long = "x" * 140_000
    said = str(CSAError(f"no column http://joe:S3CR3T00@{long}/{long}; the columns are {long}"))
    assert "S3CR3T00" not in said and len(said) < 1000
    assert said.endswith(f" the columns are {'x' * 200}…")


def test_what_is_no_secret_is_left():
    for text in ("models:/name/3", "C:/data", "sqlite:////tmp/a.db", "no address", "s3://a/b c://"):
        assert masked(text) == text.replace("c://", "c://***")


def everything(root):
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("local_registry")
def test_no_byte_of_the_state_holds_a_secret(tmp_path, monkeypatch, capfd):
    ws = make_workspace(tmp_path / "repo")
    told = []
    monkeypatch.setattr(
        watching, "_post", lambda url, event, execution: told.append(execution) or ("", False)
    )
    monkeypatch.setenv("CSA_NOTIFY_URL", PLANTED[1].format(SECRETS[1]))
    monkeypatch.setenv("CSA_DASK", PLANTED[5].format(SECRETS[5]))
    run, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, run.run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", PLANTED[0].format(SECRETS[0]))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for error in (
        None,
        StageError(f"stage: {PLANTED[11].format(SECRETS[11])} is gone"),
        ValueError(f"a library's: {PLANTED[2].format(SECRETS[2])}"),
    ):
        with pytest.raises((CSAError, ValueError)) as caught, watching.watched(Project(ws)):
            if error is None:
                Project(ws).registry.versions()
            else:
                raise error
        assert error is not None or isinstance(caught.value, RegistryError)
    shown = "".join(capfd.readouterr()) + json.dumps([one.as_dict() for one in told])
    assert len(told) == 3 and len(ws.duckdb.read_bytes()) and executions.last(ws)
    for secret in SECRETS:
        assert secret not in shown
        held = [
            file for file, content in everything(ws.state).items() if secret.encode() in content
        ]
        assert not held


def test_a_remotes_password_stays_in_dvcs_own_file(tmp_path):
    ws = make_workspace(tmp_path / "repo")
    (ws.root / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"one": {"cmd": "echo 1 > data/f", "outs": ["data/f"]}}})
    )
    dvc.ask(ws, "init", "--no-scm", "-q")
    sharing.add_remote(ws, "team", PLANTED[8].format(SECRETS[8]), None, local=True)
    said = sharing.push(ws)
    assert not said.shared and SECRETS[8] not in str(said.said)
    held = [file for file, content in everything(ws.root).items() if SECRETS[8].encode() in content]
    assert [file.name for file in held] == ["config.local"]
