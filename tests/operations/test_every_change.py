"""What a run does with its results is killed, or meets a full or broken disk, at changes of files:
the next try leaves what an undisturbed one leaves. `make faults` does so with whole runs.
"""

import json
import shutil
from contextlib import closing

import bench
import pytest
from bench import FAULTS, Bench, Sweep
from workspaces import make_workspace

from csa.operations.ledger import ledger
from csa.operations.runs import metrics
from csa.pipeline.workspace import Workspace

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="shim.c needs a C compiler")


class Recorded(Bench):
    """A workspace whose stages have run."""

    server_code = bench.HERE / "recorded.py"
    words = ("recorded",)

    @property
    def home(self):
        return self.place

    def start(self):
        make_workspace(self.place)
        code, said = self.work()
        assert code == 0, said
        self.learn()
        shutil.rmtree(self.place)
        make_workspace(self.place)

    def left(self):
        ws = Workspace(self.place, self.place / ".csa")
        (run,) = ws.runs.iterdir()
        record = json.loads((run / "run.json").read_text())
        files = [*run.iterdir(), *(ws.state / "items").iterdir()]
        asked = "SELECT * EXCLUDE (created) FROM runs", "SELECT * FROM metrics ORDER BY ALL"
        notes = (ws.state / "executions.jsonl").read_text().splitlines()
        return {
            "record": record | {"created": None},
            "files": {
                file.name: file.read_bytes()
                for file in files
                if file.name != "run.json" and file.suffix != ".tmp"
            },
            "tables": [metrics.query(ws, words).rows() for words in asked],
            "ledger": [(line["run_id"], line["verdict"]) for line in ledger.entries(ws.ledger)],
            "last note": json.loads(notes[-1])["outcome"],
        }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    with closing(Recorded(tmp_path_factory.mktemp("faults"))) as made:
        made.prepare()
        yield made


@pytest.mark.parametrize(
    ("databases", "every"), [(False, 5), (True, 7)], ids=["files", "databases"]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_results_are_kept_whole_whatever_change_of_a_file_fails(recorded, fault, databases, every):
    sweep = Sweep(recorded, fault, databases)
    (changes,) = sweep.counts
    tried = range(FAULTS[fault], changes + 1, every)
    for number in tried:
        sweep.chain(number)
    assert sweep.faults == []
    assert sum(sweep.hit.values()) == len(tried) > 2
    assert "write" in {label.partition(" ")[0] for label in sweep.hit}
