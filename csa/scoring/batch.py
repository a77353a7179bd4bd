"""A table of items in, a table of answers out: what a registered model does for MLflow."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from csa.errors import InputError
from csa.scoring.cells import Limits
from csa.scoring.labels import Candidates, prompts_for
from csa.scoring.scorer import Scorer

Task = Literal["auto", "score", "embed", "search", "classify"]


@dataclass(frozen=True)
class Asked:
    """What is asked of a table.

    Attributes:
        task: score (of each row's two items), embed (index vectors of the view that is given),
            search (each row of the first column that is given, among the other view's rows),
            classify (the row's item by `labels`), or auto: score where both views are given, else
            embed.
        top_k: results, or labels, of each row.
        labels: of classify; two or more.
        alpha: of verdicts and conformal sets; 0 takes the model's own.
    """

    task: Task = "auto"
    top_k: int = 5
    labels: tuple[str, ...] = field(default_factory=tuple)
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise InputError(f"task must be one of {', '.join(get_args(Task))}, got {self.task!r}")
        if self.top_k < 1:
            raise InputError(f"top_k must be 1 or more, got {self.top_k}")

    @property
    def rate(self) -> float | None:
        """The alpha that is asked for, None for the model's own."""
        return self.alpha or None


def answer(
    scorer: Scorer, columns: dict[str, list[Any]], asked: Asked, limits: Limits
) -> dict[str, list[Any]]:
    """Answer a table.

    Args:
        scorer: of the model.
        columns: view -> its column; a cell is a text, the bytes of a file (or base64), a row of
            features, or None if the row has no item of the view. One length for all.
        asked: what to do.
        limits: what is accepted in a cell.

    Returns:
        Columns of the answer, a row for each row: of `score` score, p_match, p_mismatch and
        verdict; of `embed` a column named as each given view; of `search` and `classify` found, a
        list for each row.

    Raises:
        InputError: no column of a view, a column that the task needs, or an unusable cell.
        DataError, FeatureError, EncoderError: an item cannot be read or encoded.
    """
    given = [name for name in scorer.names if any(cell is not None for cell in columns[name])]
    if not given:
        raise InputError(
            f"give a column {scorer.names[0]!r}, {scorer.names[1]!r} or both, with something in it"
        )
    task = asked.task
    if task == "auto":
        task = "score" if len(given) == 2 else "embed"
    if task in ("score", "search") and len(given) < 2:
        raise InputError(
            f"task {task!r} needs both views, {' and '.join(scorer.names)}; only {given[0]!r} has "
            f"something in it"
        )
    return _TASKS[task](scorer, columns, asked, limits)


def _score(
    scorer: Scorer, columns: dict[str, list[Any]], asked: Asked, limits: Limits
) -> dict[str, list[Any]]:
    X, Y = (scorer.views[name].features(columns[name], limits) for name in scorer.names)
    scores = scorer.scores(X, Y, asked.rate)
    told: dict[str, list[Any]] = {"score": scores.values.tolist()}
    if scores.beside is not None:
        decisions = scores.beside.decisions
        told |= {
            "p_match": decisions.p_match.tolist(),
            "p_mismatch": decisions.p_mismatch.tolist(),
            "verdict": list(decisions.verdicts),
        }
    return told


def _embed(
    scorer: Scorer, columns: dict[str, list[Any]], asked: Asked, limits: Limits
) -> dict[str, list[Any]]:
    told: dict[str, list[Any]] = {}
    for name in scorer.names:
        rows = _present(columns[name])
        if rows:
            features = scorer.views[name].features([columns[name][i] for i in rows], limits)
            vectors = scorer.vectors(name, features).tolist()
            told[name] = _spread(dict(zip(rows, vectors, strict=True)), len(columns[name]))
    return told


def _search(
    scorer: Scorer, columns: dict[str, list[Any]], asked: Asked, limits: Limits
) -> dict[str, list[Any]]:
    """Texts look for the other view's items; of two views of one modality the first looks."""
    view = next(
        (name for name in scorer.names if scorer.views[name].modality == "text"), scorer.names[0]
    )
    other = scorer.other(view)
    queries, gallery = _present(columns[view]), _present(columns[other])
    rows, scores = scorer.search(
        view,
        scorer.views[view].features([columns[view][i] for i in queries], limits),
        scorer.views[other].features([columns[other][i] for i in gallery], limits),
        asked.top_k,
    )
    found = {
        query: [
            {"row": gallery[row], "score": float(score)}
            for row, score in zip(*of_query, strict=True)
        ]
        for query, *of_query in zip(queries, rows, scores, strict=True)
    }
    return {"found": _spread(found, len(columns[view]))}


def _classify(
    scorer: Scorer, columns: dict[str, list[Any]], asked: Asked, limits: Limits
) -> dict[str, list[Any]]:
    texts = [name for name in scorer.names if scorer.views[name].modality == "text"]
    if len(texts) != 1:
        raise InputError("labels need one view of texts and another; this model has no such pair")
    view = scorer.other(texts[0])
    rows = _present(columns[view])
    if not rows:
        raise InputError(f"task 'classify' needs the column {view!r}; it has nothing in it")
    candidates = Candidates.of(
        asked.labels,
        prompts_for(scorer.prompts, asked.labels, ()),
        lambda prompts: scorer.views[texts[0]].features(prompts, limits),
    )
    features = scorer.views[view].features([columns[view][i] for i in rows], limits)
    labelled = scorer.label(view, features, candidates, asked.top_k, asked.rate)
    return {"found": _spread(dict(zip(rows, labelled.rows(), strict=True)), len(columns[view]))}


def _present(column: list[Any]) -> list[int]:
    return [i for i, cell in enumerate(column) if cell is not None]


def _spread(rows: dict[int, Any], count: int) -> list[Any]:
    return [rows.get(i) for i in range(count)]


_TASKS = {"score": _score, "embed": _embed, "search": _search, "classify": _classify}
