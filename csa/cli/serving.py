"""A fitted model for others: served over HTTP, or exported into the formats of other tools."""

import json
from pathlib import Path
from typing import Any

import click

from csa.cli.common import COUNT, SECONDS, json_option, workspace_option


@click.command()
@workspace_option
@click.option("--alias", default="champion", show_default=True, help="The version that answers.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "-p",
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen at; 0 takes a free one.",
)
@click.option(
    "--follow",
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    type=SECONDS,
    help="How often to look whether the alias has moved.",
)
@click.option(
    "--at-once",
    default=64,
    show_default=True,
    type=COUNT,
    help="How many requests may be answered or wait; others get status 429.",
)
@click.option(
    "--exact",
    metavar="ITEMS",
    default=200_000,
    show_default=True,
    type=COUNT,
    help="How many items a gallery may have to be searched exactly; FAISS searches larger ones.",
)
def serve(workspace: str, **asked: Any) -> None:
    """Answer over HTTP: a page to search, label and judge with, and an API (docs/serving.md).

    It prints its address and runs until you interrupt it. When the alias moves to another version,
    that version takes over and no request is lost. If other machines can reach the address, set a
    token in CSA_SERVE_TOKEN.

    \b
    Examples:
      csa serve
      csa serve -w flickr8k --port 9000
      CSA_SERVE_TOKEN=$(openssl rand -hex 24) csa serve --host 0.0.0.0
    """
    from csa.operations.environment import prepare_environment
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    from csa.serving.server import Served
    from csa.serving.server import serve as serve_workspace

    serve_workspace(ws, Served(**asked))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "name",
    default="parquet",
    show_default=True,
    help="parquet, lance, faiss, usearch, onnx, sentence-transformers or hub.",
)
@click.option(
    "--unit",
    is_flag=True,
    help="For parquet and lance: write vectors of length 1, for stores that only have the cosine.",
)
@click.option(
    "--linear",
    is_flag=True,
    help="For sentence-transformers and hub: fit again if the fit is not linear, to need no code.",
)
@workspace_option
@json_option
def export(folder: Path, name: str, workspace: str, as_json: bool, **choices: bool) -> None:
    """Write the model, or its vectors, into a new FOLDER in the format of another tool.

    It prints the files and how to read a score from them; docs/serving.md says more. The formats:

    \b
    parquet, lance         a table for each view, with the vectors of its items;
                           inner products of vectors of two tables are scores
    faiss, usearch         an index for each view; its recall is measured
    onnx                   the projection of each view, and its encoder as well
                           if torch can export it
    sentence-transformers  a model that SentenceTransformer loads: of its own modules
                           if the fit is linear, otherwise with code of csa
    hub                    the same as a repository for the Hub, with a licence

    \b
    Examples:
      csa export gallery
      csa export index --format faiss
      csa export my-model --format sentence-transformers
      csa export gallery -w flickr8k --unit
    """
    from csa.exporting.formats import Options
    from csa.exporting.formats import export as export_workspace
    from csa.pipeline.recipes import existing_workspace

    told = export_workspace(existing_workspace(workspace), folder, name, Options(**choices))
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    if name in ("sentence-transformers", "hub"):
        _say_of_model(folder, told)
        return
    if name == "onnx":
        for view, about in told["views"].items():
            left = f"; no encoder, as {about['left_out']}" if "left_out" in about else ""
            file = f"{view}_projection.onnx" if left else f"{view}.onnx"
            click.echo(f"{folder / file}: vectors of {about['dimension']}{left}")
        return
    for view, about in told["views"].items():
        recall = f", recall at 10 {about['recall_at_10']:.3f}" if "recall_at_10" in about else ""
        click.echo(
            f"{folder / view}.{name}: {about['items']:,} items, vectors of {about['dimension']}"
            f"{recall}"
        )
        if recall:
            click.echo(f"  score = {about['score_of_inner_product']:.6g} x inner product")
    if told.get("score_of_cosine") is not None:
        click.echo(f"score = {told['score_of_cosine']:.6g} x cosine")


def _say_of_model(folder: Path, told: dict[str, Any]) -> None:
    trust = "" if told["plain"] else ", trust_remote_code=True"
    click.echo(f"{folder}: SentenceTransformer({str(folder)!r}{trust})")
    if not told["plain"]:
        click.echo(f"  with code of csa, as {told['because']}")
    if "price" in told:
        for direction, found in told["price"]["recall_at_1"].items():
            click.echo(
                f"  {direction.replace('_to_', ' to ')}: R@1 {found['linear']:.4f} by a linear "
                f"fit, {found['fit']:.4f} by the fit, on {told['price']['held_out_pairs']:,} "
                f"held-out pairs"
            )


COMMANDS = (serve, export)
