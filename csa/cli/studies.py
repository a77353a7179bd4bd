"""Beside the pipeline: suspect pairs, which items to label next, sweeps, and which encoders to
take.
"""

import json
from pathlib import Path

import click

from csa.cli.common import COUNT, Count, json_option, recipe_arguments, workspace_option
from csa.cli.outputs import OutputFile


@click.command()
@workspace_option
@click.option(
    "-k", "--top", default=20, show_default=True, type=COUNT, help="How many pairs to show."
)
@click.option(
    "--page",
    metavar="FILE.html",
    type=OutputFile(".html", ".htm"),
    help="Write these pairs as a page with pictures.",
)
@click.option(
    "--drop",
    metavar="FILE.csv",
    type=OutputFile(".csv"),
    help="Write a list of the pairs that are more likely wrong than right.",
)
@click.option(
    "--trim",
    metavar="SHARE",
    help="Fit again without this share of the pairs, or `auto`, and measure it on held-out pairs.",
)
@json_option
def suspects(
    workspace: str, top: int, page: Path | None, drop: Path | None, trim: str | None, as_json: bool
) -> None:
    """Rank the training pairs by how mislabelled they look. Each is scored by a fit without it.

    It prints the most suspect pairs, and writes the whole ranking to
    data/suspects/suspects.parquet. To leave pairs out, review the list of --drop and add its
    lines to exclude.csv (for a recipe, to RECIPE.exclude.csv beside RECIPE.yaml): the next
    `csa run` fits without them. Do not write over a file that is there: it keeps out what was
    forgotten.

    \b
    Examples:
      csa suspects --top 50 --page suspects.html
      csa suspects -w flickr8k --drop drop.csv --trim auto
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.suspects import find

    answer = find(existing_workspace(workspace), top, page, drop, trim)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))
    for name, file in (("page", page), ("drop list", drop)):
        if file is not None and not as_json:
            click.echo(f"{name}: {file}")


@click.command("suggest-pairs")
@click.argument("view")
@click.option(
    "-n", "--count", default=20, show_default=True, type=COUNT, help="How many items to suggest."
)
@click.option(
    "--csv",
    "table",
    metavar="FILE.csv",
    type=OutputFile(".csv"),
    help="Write them as a table with an empty column for their partners.",
)
@workspace_option
@json_option
def suggest_pairs(view: str, count: int, table: Path | None, workspace: str, as_json: bool) -> None:
    """Say which unpaired items of VIEW to find partners for next, the most telling first.

    The items are those of dataset.unpaired after a `csa run`. It chooses items near which many
    others lie that no labelled item is near to, so that a few partners tell of many items. It
    prints the id of each (its hash) with its path or text, and fits nothing. Add what you label to
    your pairs and run `csa run`: the pool then leaves these items out.

    \b
    Examples:
      csa suggest-pairs image
      csa suggest-pairs image --count 50 --csv to_label.csv
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.suggest import suggest

    found = suggest(existing_workspace(workspace), view, count)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else str(found))
    if table is not None:
        found.write(table)
        if not as_json:
            click.echo(f"table: {table}")


@click.command()
@workspace_option
@click.option(
    "--methods",
    metavar="NAMES",
    default="csa,published,ridge,asif,procrustes",
    show_default=True,
    help="The methods to fit; cca is one more.",
)
@click.option(
    "--sizes",
    metavar="NUMBERS",
    help="How many training groups to fit on.  [default: 20, 50, 100, 300, ... all]",
)
@click.option(
    "--noise",
    metavar="SHARES",
    default="0,0.1,0.3,0.5,0.7,1",
    show_default=True,
    help="Which shares of the pairs to shuffle.",
)
@click.option(
    "--noise-groups",
    type=Count(10, 10**9),
    help="How many training groups to shuffle pairs of.  [default: 1,000 or all]",
)
@click.option(
    "--seeds",
    default=3,
    show_default=True,
    type=COUNT,
    help="How many random subsets of each size to fit on.",
)
@click.option(
    "--unpaired", is_flag=True, help="Fit with the workspace's unpaired items and labels too."
)
@json_option
def sweep(
    workspace: str,
    methods: str,
    sizes: str | None,
    noise: str,
    noise_groups: int | None,
    seeds: int,
    unpaired: bool,
    as_json: bool,
) -> None:
    """Measure what more pairs bring and what wrong pairs cost, for CSA and for other methods.

    It fits to random parts of the training pairs and to shuffled pairs, and measures on the
    held-out pairs. It writes sweep.json, data_efficiency.png and noise.png to data/sweep. If it is
    interrupted, the next call goes on. A group is what is never split, such as an image with its
    captions.

    \b
    Examples:
      csa sweep
      csa sweep --methods csa --unpaired
      csa sweep -w flickr8k --methods csa,published --sizes 20,100,1000 --noise 0,0.3
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.sweep import UNPAIRED, SweepPlan, run_sweep, split_list
    from csa.questions.sweep_words import sweep_text

    ws = existing_workspace(workspace)
    plan = SweepPlan(
        (*split_list(methods, str, "--methods"), *([UNPAIRED] if unpaired else [])),
        None if sizes is None else split_list(sizes, int, "--sizes"),
        split_list(noise, float, "--noise"),
        noise_groups,
        seeds,
    )
    result = run_sweep(ws, plan)
    click.echo(
        json.dumps(result.as_dict(), indent=2)
        if as_json
        else f"{sweep_text(result)}\npictures: {ws.data / 'sweep'}"
    )


@click.command()
@recipe_arguments
@click.option(
    "--view",
    "candidates",
    metavar="VIEW=ENCODER",
    multiple=True,
    help="An encoder to compare. Repeatable.  [default: the recipe's]",
)
@click.option(
    "--sample",
    type=COUNT,
    default=500,
    show_default=True,
    help="How many training pairs to embed, each from another group.",
)
@json_option
def advise(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    candidates: tuple[str, ...],
    sample: int,
    as_json: bool,
) -> None:
    """Compare encoders on a sample of the pairs, before you spend hours on embedding.

    It embeds only the sample, ranks the pairs of encoders by retrieval in held-out folds, and names
    those that the sample cannot tell from the best. An encoder may have settings
    (VIEW=ENCODER:layer=-2,pooling=cls), and several encoders may stand side by side (VIEW=A+B). The
    features stay in the cache for the next run.

    \b
    Examples:
      csa advise --view text=minilm-l6-v2 --view text=minilm-l6-v2:layer=0/-1
      csa advise --view image=efficientnet-lite0 --view image=efficientnet-lite0+efficientnet-lite2
      csa advise recipes/flickr8k.yaml --data ~/flickr8k --view image=efficientnet-lite0 \\
        --view image=/models/dinov2
    """
    from csa.pipeline.recipes import open_workspace
    from csa.questions.advise import advise as give_advice

    advice = give_advice(open_workspace(recipe, overrides, data), candidates, sample)
    click.echo(json.dumps(advice.as_dict(), indent=2) if as_json else str(advice))


COMMANDS = (suspects, suggest_pairs, sweep, advise)
