"""Workers: threads here or a Dask cluster give the same bits."""

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from csa.core.moments import Moments
from csa.encoders.registry import load_encoder
from csa.encoders.rocket import Rocket
from csa.errors import EncoderError, FeatureError, InputError, WorkspaceError
from csa.features.cache import FeatureCache
from csa.features.compute import as_finished, moments_of_parts, workers
from csa.features.embed import Items, embed
from csa.params.views import ViewParams

TEXTS = [
    f"a {colour} {thing}"
    for colour in ("red", "blue", "old")
    for thing in ("fox", "house by the sea", "ball")
]


def parts(seed=0):
    rng = np.random.default_rng(seed)
    return [
        [(rng.normal(size=(40, 5)), rng.normal(size=(40, 3))) for _ in range(3)] for _ in range(7)
    ]


def same(a, b):
    return a.n == b.n and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("mean_x", "mean_y", "cxx", "cyy", "cxy")
    )


def embedded(folder, dask):
    encoder = load_encoder(ViewParams(modality="text", encoder="minilm-l6-v2", batch_size=2))
    items = [(hashlib.sha256(text.encode()).hexdigest(), text) for text in TEXTS]
    return embed(
        encoder, Items(items, str, "embed"), FeatureCache(folder, encoder.fingerprint), dask
    )


def test_dask_gives_the_bits_of_one_machine(tmp_path):
    pytest.importorskip("distributed")
    here = embedded(tmp_path / "here", None)
    there = embedded(tmp_path / "there", "local")
    np.testing.assert_array_equal(here.features, there.features)
    assert there.computed == len(TEXTS)
    with workers(None) as pool:
        one = moments_of_parts(pool, parts())
    with workers("local") as cluster:
        other = moments_of_parts(cluster, parts())
    assert same(one, other)


def test_an_encoder_goes_to_another_process_as_the_view_it_was_loaded_from():
    view = ViewParams(modality="series", encoder="rocket")
    encoder = load_encoder(view)
    again = pickle.loads(pickle.dumps(encoder))
    assert again is not encoder and again.fingerprint == encoder.fingerprint
    with pytest.raises(EncoderError, match="was not loaded from a view"):
        pickle.dumps(Rocket(view))


def test_moments_of_parts_are_those_of_the_whole():
    blocks = [block for part in parts() for block in part]
    whole = Moments.from_arrays(*(np.concatenate(view) for view in zip(*blocks, strict=True)))
    with workers() as pool:
        total = moments_of_parts(pool, parts())
        with pytest.raises(FeatureError, match="no parts"):
            moments_of_parts(pool, [])
    assert total.n == whole.n
    np.testing.assert_allclose(total.cxy, whole.cxy, rtol=1e-10, atol=1e-10)


def test_an_error_in_a_task_is_raised_and_the_rest_is_dropped():
    done = []

    def work(number):
        if number == 3:
            raise FeatureError("three")
        done.append(number)
        return number

    with workers() as pool, pytest.raises(FeatureError, match="three"):
        list(as_finished(pool, work, range(1000)))
    assert len(done) < 100


def test_workers_that_die_of_a_batch_are_one_clear_error():
    killed = pytest.importorskip("distributed.scheduler").KilledWorker

    def work(number):
        raise killed(f"batch {number}", None, 3)

    with workers() as pool, pytest.raises(WorkspaceError, match=r"several workers died .* memory"):
        list(as_finished(pool, work, range(3)))


def test_no_scheduler_is_one_clear_error(monkeypatch):
    pytest.importorskip("distributed")
    with (
        pytest.raises(InputError, match=r"no scheduler answers at 'nonsense://\*\*\*'"),
        workers("nonsense://here"),
    ):
        pass


def test_a_cluster_on_this_machine_speaks_with_nobody_else():
    distributed = pytest.importorskip("distributed")
    with workers("local") as cluster:
        address = cluster._client.scheduler.address
        assert address.startswith("tls://") and cluster.submit(pow, 2, 5).result() == 32
        stranger = {"security": distributed.Security.temporary(), "timeout": 3}
        with pytest.raises(OSError):
            distributed.Client(address, **stranger)
        with pytest.raises(OSError):
            distributed.Client(address.replace("tls", "tcp"), timeout=3)


ASK = """
import sys
from csa.errors import CSAError
from csa.features.compute import workers
try:
    with workers(sys.argv[1]) as pool:
        print(pool.submit(pow, 2, 5).result())
except CSAError as error:
    print(error)
"""


def test_a_scheduler_behind_tls_is_reached_with_dasks_own_settings(tmp_path):
    """Certificates come from the machine, as Dask has them; what is wrong with them is one line."""
    distributed = pytest.importorskip("distributed")
    team = distributed.Security.temporary()
    written = {
        "CA_FILE": team.tls_ca_file,
        "CLIENT__CERT": team.tls_client_cert,
        "CLIENT__KEY": team.tls_client_key,
    }
    settings = {}
    for name, content in written.items():
        file = tmp_path / name
        file.write_text(content)
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{name}"] = str(file)

    def ask(address, **variables):
        command = [sys.executable, "-c", ASK, address]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DASK_")}
        done = subprocess.run(command, env=kept | variables, stdout=-1, text=True, check=True)
        return done.stdout.strip()

    cluster = distributed.LocalCluster(
        n_workers=1, processes=False, dashboard_address=None, security=team, protocol="tls://"
    )
    with cluster:
        address = cluster.scheduler_address
        assert ask(address, **settings) == "32"
        refused = [ask(address)]
        refused += [ask(address, **settings | {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": "none"})]
        only_tls = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}
        refused += [ask(address.replace("tls", "tcp"), **settings | only_tls)]
    start = "compute.dask: no scheduler answers at 'tls://127.0.0.1:"
    assert all(said.startswith((start, start.replace("tls", "tcp"))) for said in refused)
    assert all("Dask's own settings for TLS" in said and "\n" not in said for said in refused)
