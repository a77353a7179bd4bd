"""What every test needs: no hub, no telemetry, two threads at most."""

import os

import first_use
import pytest
import warm

from csa.operations.registry import registry

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


def pytest_collection_modifyitems(items):
    """Files with whole pipelines come first, so that quick tests fill up the time of all workers
    at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("pipeline")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def empty_databases(tmp_path_factory):
    """A registry in this process begins with a copy of an empty database."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    os.environ[first_use.FOLDER] = str(folder)
    check = registry.check_registry

    def placed(database):
        first_use.place("mlflow", database)
        check(database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "check_registry", placed)
        yield


@pytest.fixture(scope="module")
def local_registry():
    """MLflow as a clone has it that was told of no server, without progress bars."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield


@pytest.fixture(scope="module")
def warm_processes():
    """Each process of DVC's and each stage that a test of the module starts is a fork."""
    with warm.processes():
        yield


@pytest.fixture(autouse=True)
def environment_as_found():
    """The next test finds the variables as this one did. A command may set some for its process's
    life; a test fails that leaves an address behind, where the next would look for a server.
    """
    before = dict(os.environ)
    yield
    names = (before.keys() | os.environ.keys()) - {"PYTEST_CURRENT_TEST"}
    left = sorted(name for name in names if before.get(name) != os.environ.get(name))
    for name in left:
        os.environ.pop(name, None)
        os.environ.update({name: before[name]} if name in before else {})
    addresses = [name for name in left if name.endswith(("_URL", "_URI"))]
    assert not addresses, f"addresses left changed: {', '.join(addresses)}"
