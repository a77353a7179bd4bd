"""`csa serve` as programs use it: a real server over a small real workspace."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from dvc.repo import Repo
from own_project import environment
from served import Client, serving, shapes_workspace

from csa.operations.forgetting.forgetting import find, forget
from csa.operations.forgetting.forgotten import wanted
from csa.operations.ledger.moves import promote
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted
from csa.questions.score import score_pair
from csa.questions.search import matches
from csa.scoring.cells import Limits
from csa.serving import following

pytestmark = pytest.mark.usefixtures("local_registry")
TOKEN = "a-token-of-many-characters"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Version 1 (canonical) is champion; the workspace holds version 2 (likelihood ratio of kernel
    and root, corrected for hubness).
    """
    return shapes_workspace(tmp_path_factory.mktemp("serve") / "repo")


@pytest.fixture(scope="module")
def served(shapes):
    """A server that follows the challenger, which is what the workspace holds. Its galleries of 64
    items count as large, and those of a split do not.
    """
    with serving(shapes.root, "--alias", "challenger", "--exact", "60") as client:
        yield SimpleNamespace(ws=shapes, client=client)


def picture(ws, name="red-circle"):
    return ws.root / "shapes" / "images" / f"{name}.png"


def encoded(ws, name="red-circle"):
    return base64.b64encode(picture(ws, name).read_bytes()).decode()


def test_scores_are_those_of_csa_score(served):
    pairs = [("red-circle", "a red circle"), ("blue-star", "a green line")]
    expected = [score_pair(served.ws, str(picture(served.ws, name)), text) for name, text in pairs]
    body = {"pairs": [{"image": encoded(served.ws, name), "text": text} for name, text in pairs]}
    status, told, _ = served.client.ask("/v1/score", body)
    assert status == 200 and told["version"] == 2
    for found, one in zip(told["scores"], expected, strict=True):
        wanted = one.as_dict()
        assert found["score"] == pytest.approx(wanted["score"], abs=1e-6)
        decision, wanted = found["decision"], wanted["decision"]
        for words in ("doubts", "verdict"):
            assert decision.pop(words) == wanted.pop(words)
        assert decision == pytest.approx(wanted, abs=1e-6)


def test_results_are_those_of_csa_search(served):
    fitted = Fitted.open(served.ws)
    assert fitted.alignment.hubness is not None and fitted.alignment.prepare_x.name == "kernel"
    for view, cell, query in (
        ("text", "a green star", "a green star"),
        ("image", encoded(served.ws), str(picture(served.ws))),
    ):
        features = fitted.encode(view, fitted.read(view, query))
        (wanted,) = matches(fitted, view, features, 7)
        status, told, _ = served.client.ask(
            "/v1/search", {"query": {view: [cell]}, "top": 7, "into": None}
        )
        results = told["found"][0]["results"]
        assert status == 200 and told["view"] == view
        assert [one["pair"] for one in results] == [one["pair"] for one in wanted]
        assert [one["rank"] for one in results] == list(range(1, 8))
        scores = [one["score"] for one in results]
        assert scores == pytest.approx([one["score"] for one in wanted], abs=1e-6)


def test_inner_products_of_vectors_are_scores_and_features_are_taken(served):
    fitted = Fitted.open(served.ws)
    text, image = "a red circle", encoded(served.ws)
    both = {"items": {"text": [text, text], "image": [image]}}
    vectors = served.client.ask("/v1/embed", both)[1]["vectors"]
    found = served.client.ask("/v1/score", {"pairs": [{"image": image, "text": text}]})[1]
    product = np.dot(vectors["image"][0], vectors["text"][0])
    assert product == pytest.approx(found["scores"][0]["score"], abs=1e-9)
    features = fitted.encode("text", text)[0].tolist()
    again = served.client.ask("/v1/embed", {"items": {"text": [features] * 2}})[1]["vectors"]
    np.testing.assert_allclose(again["text"][0], vectors["text"][0], rtol=1e-9)
    np.testing.assert_array_equal(vectors["text"][0], vectors["text"][1])


def test_filters_and_more_like_this(served):
    asked = {"query": {"text": ["a red circle"]}, "top": 60}
    everything = served.client.ask("/v1/search", asked)[1]["found"][0]["results"]
    held_out = served.client.ask("/v1/search", asked | {"split": "test"})[1]["found"][0]["results"]
    of_split = [one["pair"] for one in everything if one["split"] == "test"]
    assert len(held_out) > 10 and [one["pair"] for one in held_out][: len(of_split)] == of_split
    none = served.client.ask("/v1/search", asked | {"split": "no such"})[1]
    assert none["found"][0]["results"] == []
    like = {"like": {"view": "image", "pair": "red-circle"}, "top": 5}
    found = served.client.ask("/v1/search", like)[1]
    results = found["found"][0]["results"]
    assert found["into"] == "image" and len(results) == 5
    assert "red-circle" not in [one["pair"] for one in results]
    scores = [one["score"] for one in results]
    assert scores == sorted(scores, reverse=True) and scores[0] <= 1 + 1e-9
    across = served.client.ask("/v1/search", like | {"into": "text"})[1]
    direct = {"query": {"image": [encoded(served.ws)]}, "top": 5}
    direct = served.client.ask("/v1/search", direct)[1]
    assert [one["pair"] for one in across["found"][0]["results"]] == [
        one["pair"] for one in direct["found"][0]["results"]
    ]


def test_labels_with_the_conformal_set(served):
    labels = ["a red circle", "a blue star", "a green line"]
    body = {"items": {"image": [encoded(served.ws)]}, "labels": labels, "templates": ["{label}"]}
    status, told, _ = served.client.ask("/v1/classify", body)
    rows = told["found"][0]["labels"]
    assert status == 200 and {row["label"] for row in rows} == set(labels)
    scores = [score_pair(served.ws, str(picture(served.ws)), row["label"]).score for row in rows]
    assert [row["score"] for row in rows] == pytest.approx(scores, rel=1e-6)
    assert scores == sorted(scores, reverse=True)
    assert all(row["in_set"] == (row["p_match"] > told["alpha"]) for row in rows)
    noise = np.random.default_rng(0).normal(size=(2, 1280)).tolist()
    strange = served.client.ask("/v1/classify", body | {"items": {"image": noise}})[1]
    assert strange["found"][0]["p_familiar"] < told["found"][0]["p_familiar"]


def test_items_come_by_the_id_of_their_pair_alone(served):
    path = "/v1/items/image/picture/red-circle"
    status, content, headers = served.client.ask(path)
    assert status == 200 and content[:3] == b"\xff\xd8\xff" and headers["ETag"]
    assert served.client.ask(path, **{"If-None-Match": headers["ETag"]})[0] == 304
    for wrong in (
        "/v1/items/image/picture/images/red-circle.png",
        "/v1/items/image/picture/../../../params.yaml",
        "/v1/items/image/picture/%2e%2e%2f%2e%2e%2fparams.yaml",
        "/v1/items/text/picture/red-circle",
        "/v1/items/image/sound/red-circle",
        "/v1/items/other/picture/red-circle",
        "/page.py",
        "/..%2fserver.py",
    ):
        status, told, _ = served.client.ask(wrong)
        assert status in (404, 422) and set(told) == {"error"}, wrong


def test_what_operators_ask(served):
    assert served.client.ask("/healthz")[1] == {"alive": True}
    ready = served.client.ask("/readyz")[1]
    assert ready == {"ready": True, "version": 2, "following": True, "trouble": None}
    status, figures, _ = served.client.ask("/metrics")
    assert status == 200 and b"csa_version 2.0" in figures and b"csa_request_seconds" in figures
    assert b'csa_requests_total{path="/v1/score",status="200"}' in figures
    about = served.client.ask("/v1/model")[1]
    assert about["model"] == "shapes" and about["score"] == "likelihood_ratio"
    searched = about["views"]["image"]["search"]
    assert searched.pop("recall_at_10") >= 0.98
    assert searched == {"items": 64, "exact": False, "width": 64}
    assert 0 <= about["evaluated"]["retrieval"]["image_to_text"]["recall_at_1"]["value"] <= 1
    paths = served.client.ask("/openapi.json")[1]["paths"]
    assert {"/v1/embed", "/v1/score", "/v1/search", "/v1/classify", "/v1/model"} <= set(paths)
    status, page, headers = served.client.ask("/")
    assert status == 200 and b"<!doctype html>" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/score", b"{", 400, "no JSON"),
        ("/v1/score", b"[" * 100_000, 400, "no JSON"),
        ("/v1/score", b"\xff\xfe", 400, "no JSON"),
        ("/v1/score", {}, 422, "pairs: Field required"),
        ("/v1/score", {"pairs": [{"text": "a"}]}, 422, "give it an item of each view"),
        ("/v1/score", {"pairs": [], "x": 1}, 422, "pairs"),
        ("/v1/score", {"pairs": [{"text": "a", "image": "/etc/passwd"}]}, 422, "a path is not"),
        ("/v1/score", {"pairs": [{"text": "a", "image": "http://x/a.png"}]}, 422, "not fetched"),
        ("/v1/score", {"pairs": [{"text": "a", "image": "aGVsbG8="}]}, 422, "image 0"),
        ("/v1/embed", {"items": {"text": ["a" * 20_000]}}, 422, "shorten it"),
        ("/v1/embed", {"items": {"text": [" "]}}, 422, "is empty"),
        ("/v1/embed", {"items": {"sound": ["a"]}}, 422, "no view is called 'sound'"),
        ("/v1/embed", {"items": {"text": ["a"] * 65}}, 422, "send them in parts"),
        ("/v1/embed", {"items": {"text": []}}, 422, "give one or more"),
        ("/v1/embed", {"items": {"text": [[1.0, 2.0]]}}, 422, "2 features, but the encoder"),
        ("/v1/embed", b'{"items": {"text": [[NaN]]}}', 422, "features"),
        ("/v1/search", {}, 422, "give either 'query' or 'like'"),
        ("/v1/search", {"query": {"text": ["a"]}, "top": 10**9}, 422, "top"),
        ("/v1/search", {"query": {"text": ["a"]}, "into": "no"}, 422, "no view is called 'no'"),
        ("/v1/search", {"like": {"view": "text", "pair": "no"}}, 422, "no pair has the id"),
        ("/v1/classify", {"items": {"text": ["a"]}, "labels": ["a", "b"]}, 422, "labels are"),
        ("/v1/classify", {"items": {"image": ["x"]}, "labels": ["a", "a"]}, 422, "different"),
        ("/v1/nothing", {}, 404, "nothing here"),
        ("/v1/model", {}, 405, "POST is not what"),
    ],
)
def test_errors_are_one_sentence_with_the_right_status(served, path, body, status, words):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found, told, headers = served.client.ask(path, raw=raw)
    assert (found, set(told)) == (status, {"error"}), told
    assert words in told["error"] and "\n" not in told["error"]
    assert headers["Content-Type"] == "application/json"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(served):
    headers = {"Content-Length": str(10**9)}
    status, told, _ = served.client.ask("/v1/embed", raw=b"{}", **headers)
    assert status == 413 and "MiB" in told["error"]


def test_another_name_for_this_machine_is_not_served(served):
    status, told, _ = served.client.ask("/v1/model", Host="evil.example:8080")
    assert status == 421 and "evil.example" in told["error"]


def until(client, holds):
    """Wait for something, as long as the server lives."""
    while not holds():
        assert client.process.poll() is None
        time.sleep(0.02)


def test_promotion_is_taken_over_and_no_request_is_lost(shapes):
    body = {"pairs": [{"image": encoded(shapes), "text": "a red circle"}]}
    answers, ended = [], threading.Event()

    def work(client):
        while not ended.is_set():
            status, told, _ = client.ask("/v1/score", body)
            answers.append((status, told.get("version"), told["scores"][0]["score"]))

    with serving(shapes.root, "--follow", "0.1") as client:
        threads = [threading.Thread(target=work, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in (2, 1, 2):
            before = len(answers)
            promote(Project(shapes), number, "to and fro")
            until(client, lambda number=number, n=before: number in {v for _, v, _ in answers[n:]})
        ended.set()
        for thread in threads:
            thread.join()
        assert {status for status, _, _ in answers} == {200}
        by_version = {
            version: {score for _, v, score in answers if v == version} for version in (1, 2)
        }
        assert all(len(scores) == 1 for scores in by_version.values()), by_version
        assert by_version[1] != by_version[2]
        assert by_version[2].pop() == pytest.approx(
            score_pair(shapes, str(picture(shapes)), "a red circle").score, abs=1e-6
        )
        registry = shapes.state / "mlflow"
        shutil.move(registry, registry.with_name("away"))
        try:
            until(client, lambda: not client.ask("/readyz")[1]["following"])
            told = client.ask("/readyz")[1]
            assert told["ready"] and told["version"] == 2 and told["trouble"]
            assert client.ask("/v1/score", body)[0] == 200
        finally:
            shutil.rmtree(registry, ignore_errors=True)
            shutil.move(registry.with_name("away"), registry)
        until(client, lambda: client.ask("/readyz")[1]["following"])


def test_what_is_forgotten_is_found_no_more(shapes, tmp_path):
    shutil.copytree(shapes.root, tmp_path / "repo")
    ws = Workspace(tmp_path / "repo", tmp_path / "repo" / ".csa")
    Repo.init(str(ws.root), no_scm=True).close()
    asked = {"query": {"text": ["a red circle"]}, "top": 64}

    def pairs(client):
        return {one["pair"] for one in client.ask("/v1/search", asked)[1]["found"][0]["results"]}

    with serving(ws.root, "--follow", "0.1") as client:
        before = pairs(client)
        named = (str(ws.root / "shapes" / "images" / "red-circle.png"),)
        forget(Project(ws), find(Project(ws), named), "a wish")
        until(client, lambda: "red-circle" not in pairs(client))
        assert before - pairs(client) == {"red-circle"}
        status, told, _ = client.ask("/v1/items/image/picture/red-circle")
        assert status == 422 and "no pair has the id" in told["error"]
        like = {"like": {"view": "image", "pair": "red-circle"}}
        assert client.ask("/v1/search", like)[0] == 422
        assert "run" in client.ask("/readyz")[1]["trouble"]


def test_what_is_to_be_forgotten_is_asked_once_a_look(shapes, monkeypatch):
    looks = []
    monkeypatch.setattr(following, "wanted", lambda ws: looks.append(ws) or wanted(ws))
    follower = following.Follower(shapes, "champion", Limits(10**6, 1000))
    assert len(looks) == 1
    follower.look()
    assert follower.taken_over == 0 and len(looks) == 2, "nothing has moved"
    promote(Project(shapes), 3 - follower.now.number, "the other one")
    follower.look()
    assert follower.taken_over == 1 and len(looks) == 3, "another version was read"


def test_a_token_is_asked_for(shapes):
    with serving(shapes.root, "--at-once", "1", CSA_SERVE_TOKEN=TOKEN) as client:
        status, told, headers = client.ask("/v1/model")
        assert (
            status == 401 and "Bearer" in told["error"] and "Basic" in headers["WWW-Authenticate"]
        )
        assert client.ask("/")[0] == client.ask("/metrics")[0] == 401
        assert client.ask("/healthz")[0] == 200 and "trouble" not in client.ask("/readyz")[1]
        basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        for given in (f"Bearer {TOKEN}", f"Basic {basic}"):
            assert client.ask("/v1/model", Authorization=given)[0] == 200
        for given in ("Bearer wrong", "Basic !!!", f"Digest {TOKEN}", f"Bearer {TOKEN}x", "Bearer"):
            assert client.ask("/v1/model", Authorization=given)[0] == 401
        # one is answered at a time, and whoever comes meanwhile is told to come again
        friend = Client(client.address, {"Authorization": f"Bearer {TOKEN}"})
        body = {"items": {"image": [encoded(shapes)] * 16}}
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(friend.ask("/v1/embed", body)))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(status for status, _, _ in found)
        assert statuses[0] == 200 and statuses[-1] == 429 and set(statuses) == {200, 429}
        assert next(h for s, _, h in found if s == 429)["Retry-After"] == "1"


def refused(root, *arguments, **variables):
    done = subprocess.run(
        [sys.executable, "-m", "csa.cli", "serve", *arguments],
        cwd=root,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_what_it_refuses_to_start_with(shapes, tmp_path):
    assert "set a token in CSA_SERVE_TOKEN" in refused(shapes.root, "--host", "0.0.0.0")
    assert "16 are the fewest" in refused(shapes.root, CSA_SERVE_TOKEN="short")
    assert "no version with the alias 'none'" in refused(
        shapes.root, "--alias", "none", "--port", "0"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "name another address" in refused(shapes.root, "--port", port)
