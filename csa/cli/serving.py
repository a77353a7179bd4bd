"""A fitted model for others: served over HTTP."""

import click

from csa.cli.common import COUNT, SECONDS, workspace_option


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


COMMANDS = (serve,)
