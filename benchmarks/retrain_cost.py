"""What a retraining costs when 1 % of the items are new, as a share of a full run's processor time.

    python -m benchmarks.retrain_cost [--workspace flickr8k]

Clones this repository into a temporary folder and runs `csa run` there four times: on the data set
less 3 % of its items; with a third of those back and `fit.search: full`; with another third back
and `fit.search: auto`, which begins with the champion's choices; and with all of it, the choices of
the run before as parameters (`csa choices`). The data set is that of a workspace that was run here,
by default the built-in one. Costs are those that `csa run` notes itself (`.csa/executions.jsonl`):
processor time of all processes it starts. Writes benchmarks/results/retrain_cost.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.measure import about
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "retrain_cost.json"
SHARE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workspace",
        default="main",
        help="a workspace that was run here: its pairs become the data set",
    )
    options = parser.parse_args()
    source = Workspace.find(ROOT)
    if options.workspace != "main":
        source = Workspace(source.state / "workspaces" / options.workspace, source.state)
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        pairs = pl.read_parquet(source.pairs, glob=False)
        recipe = _recipe(source, Path(folder))
        first, second = source.params().view_names
        items = pairs[f"{first}_hash"].unique(maintain_order=True).to_list()
        step = round(1 / SHARE)
        parts = [set(items[k::step]) for k in range(3)]
        costs, roads = [], []
        for back, search in enumerate(("full", "full", "auto", None)):
            missing: set[str] = set().union(*parts[back:])
            table = pairs.filter(~pl.col(f"{first}_hash").is_in(list(missing)))
            table.select("pair_id", "group", "split", first, second).write_csv(
                Path(folder) / "data" / "pairs.csv"
            )
            settings = yaml.safe_load(recipe.read_text())
            if search is not None:
                settings["fit"]["search"] = search
                recipe.write_text(yaml.safe_dump(settings))
            else:
                said = _csa(
                    clone, "choices", "--workspace", recipe.stem, capture_output=True
                ).stdout
                recipe.write_text(yaml.safe_dump(settings | yaml.safe_load(said)))
            _csa(clone, "run", str(recipe))
            state = clone / ".csa"
            costs.append(json.loads((state / "executions.jsonl").read_text().splitlines()[-1]))
            fit = Workspace(state / "workspaces" / recipe.stem, state).fit_report
            roads.append(json.loads(fit.read_text()).get("searched", {}).get("road", "fixed"))
    full, again, auto, fixed = costs
    command = "python -m benchmarks.retrain_cost --workspace NAME"
    facts = about(command)
    result = {
        "commit": facts["commit"],
        "command": f"python -m benchmarks.retrain_cost --workspace {options.workspace}",
        "items": len(items),
        "new_items": len(parts[0]),
        "roads": roads,
        "full": _cost(full),
        "retrain": _cost(again),
        "share_of_cpu": round(again["cpu_seconds"] / full["cpu_seconds"], 4),
        "retrain_from_champion": _cost(auto),
        "share_of_cpu_from_champion": round(auto["cpu_seconds"] / full["cpu_seconds"], 4),
        "retrain_with_fixed_choices": _cost(fixed),
        "share_of_cpu_with_fixed_choices": round(fixed["cpu_seconds"] / full["cpu_seconds"], 4),
    }
    known = json.loads(RESULTS.read_text())["workspaces"] if RESULTS.exists() else {}
    write_json(RESULTS, {**facts, "workspaces": known | {options.workspace: result}})
    print(json.dumps(result, indent=2))


def _csa(
    clone: Path, *arguments: str, capture_output: bool = False
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "csa.cli", *arguments]
    return subprocess.run(command, cwd=clone, check=True, text=True, capture_output=capture_output)


def _recipe(source: Workspace, folder: Path) -> Path:
    """A recipe for a table beside a copy of the source's items."""
    params = source.params()
    root = (source.root / params.dataset.path).resolve()
    shutil.copytree(root, folder / "data")  # no links: a data set may only name its own files
    mapping = params.dump()
    columns = {"id": "pair_id"} | {view: view for view in params.view_names}
    mapping["dataset"] = {
        "kind": "table",
        "path": str(folder / "data"),
        "table": "pairs.csv",
        "columns": columns,
    }
    path = folder / "again.yaml"
    path.write_text(yaml.safe_dump(Params.from_mapping(mapping).dump()))
    return path


def _cost(execution: dict[str, Any]) -> dict[str, Any]:
    stages = {stage: facts.get("cpu_seconds") for stage, facts in execution["stages"].items()}
    return {
        "cpu_seconds": execution["cpu_seconds"],
        "seconds": execution["seconds"],
        "stages_cpu_seconds": stages,
    }


if __name__ == "__main__":
    main()
