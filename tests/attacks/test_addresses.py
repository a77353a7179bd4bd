"""Whoever sends a change of params.yaml cannot make a machine connect to an address of theirs."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from workspaces import bare_workspace

from csa.errors import ParamsError
from csa.operations.cache import dvc
from csa.operations.inspection.plan import make_plan
from csa.operations.inspection.status import status_json
from csa.operations.opened import Project
from csa.params.schema import Params


@pytest.fixture
def listener(monkeypatch):
    """A server on this machine, and what it was asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_HEAD = do_POST = do_GET  # noqa: N815 (the names http.server looks for)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()


ADDRESSES = [
    ("compute", "dask", "tcp://joe:PASSWORD@{}"),
    ("notify", "url", "http://{}/hooks/PASSWORD"),
    ("notify", "url", "slack://PASSWORD/b/c"),
]


def written(ws, section, key, address):
    text = yaml.safe_load(ws.params_file.read_text())
    text[section][key] = address
    ws.params_file.write_text(yaml.safe_dump(text))


@pytest.mark.parametrize(("section", "key", "address"), ADDRESSES)
def test_an_address_in_the_parameters_alone_is_refused(tmp_path, listener, section, key, address):
    host, asked = listener
    ws = bare_workspace(tmp_path, {})
    written(ws, section, key, address.format(host))
    with pytest.raises(
        ParamsError, match=rf"{section}\.{key} is .*is not trusted; set CSA_"
    ) as told:
        ws.params()
    assert "PASSWORD" not in str(told.value) and not asked


@pytest.mark.parametrize(("section", "key", "address"), ADDRESSES)
@pytest.mark.parametrize("how", ["by the environment", "by name", "in a file"])
def test_the_machine_gives_an_address_or_allows_it(
    tmp_path, monkeypatch, section, key, address, how
):
    ws = bare_workspace(tmp_path, {})
    address = address.format("10.0.0.5:8786")
    written(ws, section, key, address)
    name = "slack" if address.startswith("slack") else "10.0.0.5:8786"
    if how == "by the environment":
        variable = {"dask": "CSA_DASK", "url": "CSA_NOTIFY_URL"}[key]
        monkeypatch.setenv(variable, address)
        written(ws, section, key, "tcp://198.51.100.1:1")
    elif how == "by name":
        monkeypatch.setenv("CSA_ADDRESSES", f"other.example {name}")
    else:
        (tmp_path / ".csa").mkdir(exist_ok=True)
        (tmp_path / ".csa" / "addresses").write_text(f"{name}\n")
    assert getattr(getattr(ws.params(), section), key) == address


def test_the_machine_names_the_device(tmp_path, monkeypatch):
    """It is no address, so what params.yaml says needs no leave; the variable goes before it."""
    ws = bare_workspace(tmp_path, {})
    written(ws, "compute", "device", "cuda:1")
    assert ws.params().compute.device == "cuda:1"
    monkeypatch.setenv("CSA_DEVICE", "cpu")
    assert ws.params().compute.device == "cpu"
    monkeypatch.setenv("CSA_DEVICE", "gpu")
    with pytest.raises(ParamsError, match=r"compute\.device': use auto, cpu"):
        ws.params()


@pytest.mark.parametrize("of", ["dataset", "a task"])
@pytest.mark.parametrize("path", ["http://{}/x", "s3://bucket/x", "remote://team/x", "http:/{}/x"])
def test_a_data_set_is_on_this_machine(tmp_path, listener, path, of):
    host, asked = listener
    ws = bare_workspace(tmp_path, {})
    text = yaml.safe_load(ws.params_file.read_text())
    dataset = {"kind": "imagefolder", "path": path.format(host)}
    if of == "dataset":
        text["dataset"] |= dataset
    else:
        text["tasks"] = {"other": {"kind": "transfer", "dataset": dataset}}
    ws.params_file.write_text(yaml.safe_dump(text))
    for ask in (dvc.status, dvc.stages):
        with pytest.raises(ParamsError, match="is an address, and a data set lies on this machine"):
            ask(ws)
    for ask in (status_json, make_plan):
        with pytest.raises(ParamsError, match="is an address, and a data set lies on this machine"):
            ask(Project(ws))
    assert not asked


def test_a_folder_with_a_colon_in_its_name_is_one(tmp_path):
    assert Params.from_mapping({"dataset": {"path": "./a:b"}}).dataset.path == "./a:b"
    assert Params.from_mapping({"dataset": {"path": "/data/a:b"}}).dataset.path == "/data/a:b"
