"""What a team shares."""

import json
from pathlib import Path

import click

from csa.cli.common import json_option, say, workspace_option
from csa.cli.outputs import OutputFile
from csa.masking import masked, masked_all


@click.group()
def remote() -> None:
    """Name the places where a team shares features, alignments and results. Every `csa run` pulls
    from them and pushes to them.
    """


@remote.command("add")
@click.argument("name")
@click.argument("url")
@click.option("--endpoint", metavar="URL", help="The address of an S3 store that is not Amazon's.")
@click.option(
    "--local",
    is_flag=True,
    help="Use it in this clone alone. Otherwise git carries it to the team in .dvc/config.",
)
def remote_add(name: str, url: str, endpoint: str | None, local: bool) -> None:
    """Share results through URL.

    URL is a folder that everyone can reach, or s3://bucket/path. S3 needs the extra `s3`, and takes
    its credentials from where every S3 tool does. Commit .dvc/config afterwards.

    \b
    Examples:
      csa remote add team /mnt/shared/csa
      csa remote add team s3://our-bucket/csa
    """
    from csa.operations.cache import sharing
    from csa.operations.environment import prepare_environment
    from csa.operations.trust.trusted import trusted_keys
    from csa.pipeline.recipes import main_workspace

    ws = main_workspace()
    prepare_environment(ws)
    name = sharing.add_remote(ws, name, url, endpoint, local)
    where = (
        "this clone's .dvc/config.local"
        if local
        else ".dvc/config; commit it, and your team shares too"
    )
    click.echo(f"{name}: {masked(sharing.remotes(ws)[name])} ({where})")
    if not local and trusted_keys(ws) is None:
        say(
            f"whoever can write to {name} can give you wrong features (docs/threat-model.md); with "
            f"a key of `csa key` your team can sign what it shares"
        )


@remote.command("list")
@json_option
def remote_list(as_json: bool) -> None:
    """List the remotes.

    \b
    Example:
      csa remote list
    """
    from csa.operations.cache import sharing
    from csa.operations.environment import prepare_environment
    from csa.pipeline.recipes import main_workspace

    ws = main_workspace()
    prepare_environment(ws)
    found = masked_all(sharing.remotes(ws))
    lines = "\n".join(f"{name}  {url}" for name, url in found.items())
    click.echo(
        json.dumps(found, indent=2)
        if as_json
        else lines or "no remote yet; `csa remote add NAME URL` names one"
    )


@remote.command("remove")
@click.argument("name")
def remote_remove(name: str) -> None:
    """Stop using a remote. Its files stay where they are.

    \b
    Example:
      csa remote remove team
    """
    from csa.operations.cache import sharing
    from csa.operations.environment import prepare_environment
    from csa.pipeline.recipes import main_workspace

    ws = main_workspace()
    prepare_environment(ws)
    sharing.remove_remote(ws, name)
    click.echo(f"{name} is not a remote any more")


@click.command()
@click.argument("items", nargs=-1, required=True)
@click.option("-m", "--reason", required=True, help="Why; exclude.csv and the record keep it.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@workspace_option
@json_option
def forget(items: tuple[str, ...], reason: str, yes: bool, workspace: str, as_json: bool) -> None:
    """Forget items: remove them, and all that was made from them, from every cache here and on the
    remotes, and keep them out.

    ITEMS are paths of images, texts, or sha256. It prints what was removed and which registered
    versions have seen the items; it does not delete those versions. The next `csa run` makes a
    version that has not seen them. exclude.csv gets a line for each item: commit it, and the clones
    of your team forget the items too.

    \b
    Examples:
      csa forget data/photos/17.jpg --reason "withdrawn by its owner"
      csa forget "a photo of my neighbour" --reason "personal" -w flickr8k
    """
    from csa.operations.environment import prepare_environment
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    from csa.operations.forgetting import forgetting
    from csa.operations.opened import Project
    from csa.operations.runs.locked import only_run

    project = Project(ws)
    found = forgetting.find(project, items)
    if not yes:
        click.confirm(
            f"Remove {len(found)} items and what was made from them from all caches? This cannot "
            f"be undone",
            abort=True,
        )
    with only_run(ws):
        done = forgetting.forget(project, found, reason)
    click.echo(json.dumps(done.as_dict(), indent=2) if as_json else str(done))


@click.command()
@click.argument("file", metavar="FILE.safetensors", type=OutputFile(".safetensors"))
@workspace_option
def moments(file: Path, workspace: str) -> None:
    """Write the moments of the training pairs, so that other teams can `csa merge` them.

    Moments are the sums that a fit needs. They contain no item.

    \b
    Example:
      csa moments ours.safetensors
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.merge import PublishedMoments

    published = PublishedMoments.of_workspace(existing_workspace(workspace))
    published.save(file)
    click.echo(
        f"{file}: moments of {published.pairs:,} training pairs in {published.groups:,} groups, "
        f"{_megabytes(file)}"
    )


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="FILE.safetensors",
    type=OutputFile(".safetensors"),
    help="Where to write the alignment.",
)
@workspace_option
@json_option
def merge(files: tuple[Path, ...], out: Path, workspace: str, as_json: bool) -> None:
    """Fit on the moments that several teams have published with `csa moments`.

    The result is the fit on the pairs of all teams, though nobody has shared a pair. It is measured
    on the held-out pairs of the workspace, beside the workspace's own alignment.

    \b
    Example:
      csa merge ours.safetensors theirs.safetensors --out merged.safetensors
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.merge import merge as fit_on_sum

    ws = existing_workspace(workspace)
    merged = fit_on_sum(files, out, ws if ws.pairs.is_file() else None)
    click.echo(
        json.dumps(merged.as_dict(), indent=2)
        if as_json
        else f"{merged}\nalignment: {out} (csa.load reads it)"
    )


@click.command()
def key() -> None:
    """Make a key for signing what you share, and print its entry for trusted-keys.toml.

    Do this once. Every `csa run` signs with the key what it shares. A project that has
    trusted-keys.toml takes results from a shared cache only if one of the keys in that file signed
    them. The key lies outside the project, in ~/.config/csa/key or where CSA_KEY says. A key that
    `ssh-keygen -t ed25519` made works too.

    \b
    Example:
      csa key >> trusted-keys.toml
    """
    from csa.operations.trust import keys

    own, new = keys.make_key()
    say(f"{keys.place()} is {'a new' if new else 'your'} key; keep it to yourself")
    click.echo(keys.as_entry(own))


def _megabytes(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.0f} MB"


COMMANDS = (remote, key, forget, moments, merge)
