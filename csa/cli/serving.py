"""A fitted model for others: served over HTTP, or exported into the formats of other tools."""

import json
from pathlib import Path

import click

from csa.cli.common import COUNT, SECONDS, json_option, workspace_option


@click.command()
@workspace_option
@click.option("--alias", default="champion", show_default=True, help="The version that answers.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="0 takes a free one.",
)
@click.option(
    "--follow",
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    type=SECONDS,
    help="How often to see whether the alias has moved.",
)
@click.option(
    "--at-once",
    default=64,
    show_default=True,
    type=COUNT,
    help="Requests answered or waiting; others get 429.",
)
def serve(workspace: str, alias: str, host: str, port: int, follow: float, at_once: int) -> None:
    """Answer over HTTP: a page to search, label and judge with, and an API (docs/serving.md).

    When the alias moves, the version that it points at takes over and no request is lost. An
    address that others reach needs a token in CSA_SERVE_TOKEN.

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

    serve_workspace(ws, Served(alias, host, port, follow, at_once))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "name",
    default="parquet",
    show_default=True,
    help="Or lance, faiss, usearch, onnx, sentence-transformers, hub.",
)
@click.option(
    "--unit",
    is_flag=True,
    help="Of parquet and lance: vectors of one length, for stores that know the cosine alone.",
)
@workspace_option
@json_option
def export(folder: Path, name: str, unit: bool, workspace: str, as_json: bool) -> None:
    """Write what a workspace holds into a new FOLDER, in a format of another tool.

    parquet, lance: a table for each view with the items' vectors; inner products across tables are
    the scores. faiss, usearch: an index for each view, with its recall. onnx: each view's
    projection, and its encoder with it where torch can export that. sentence-transformers: a model
    that SentenceTransformer loads, with its encoders' files where model.with_weights is set; hub:
    the same as a repository for the Hub, with a licence (docs/serving.md).

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

    told = export_workspace(existing_workspace(workspace), folder, name, Options(unit))
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    if name in ("sentence-transformers", "hub"):
        click.echo(f"{folder}: SentenceTransformer({str(folder)!r}, trust_remote_code=True)")
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


COMMANDS = (serve, export)
