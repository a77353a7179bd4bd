"""The answers of the API: one version, what was asked, and what it says."""

from typing import Any

from csa.errors import InputError
from csa.questions.familiar import UNFAMILIAR
from csa.questions.score import judged
from csa.scoring.labels import Candidates, prompts_for
from csa.serving import asked
from csa.serving.answering import Answering
from csa.serving.galleries import Keep
from csa.serving.searching import Query

Answer = dict[str, Any]
_MOST_PROMPTS = 2000


def embed(answering: Answering, given: asked.Embed) -> Answer:
    """Index vectors; inner products across views are the scores.

    Args:
        answering: what answers.
        given: the items.

    Returns:
        View -> vectors.

    Raises:
        InputError: an unusable item, or too many.
    """
    _refuse_many(sum(len(cells) for cells in given.items.values()))
    vectors = {
        view: answering.scorer.vectors(view, answering.features(view, _some(cells))).tolist()
        for view, cells in given.items.items()
    }
    return {"version": answering.number, "vectors": vectors}


def score(answering: Answering, given: asked.Score) -> Answer:
    """Scores of pairs, with what the held-out pairs say of each.

    Args:
        answering: what answers.
        given: the pairs.

    Returns:
        A score a pair, as `csa score --json` says it.

    Raises:
        InputError: an unusable item, or a pair without an item of each view.
    """
    names = answering.scorer.names
    for i, pair in enumerate(given.pairs):
        if set(pair) != set(names):
            raise InputError(
                f"pair {i} has {', '.join(map(repr, pair)) or 'nothing'}; give it an item of each "
                f"view, {names[0]!r} and {names[1]!r}"
            )
    X, Y = (answering.features(name, [pair[name] for pair in given.pairs]) for name in names)
    scores = judged(answering.fitted, X, Y, given.alpha)
    return {"version": answering.number, "scores": [one.as_dict() for one in scores]}


def search(answering: Answering, given: asked.Search) -> Answer:
    """The items of the gallery that best belong to each query.

    Queries of the view that is searched are compared by the cosine of index vectors.

    Args:
        answering: what answers.
        given: the queries.

    Returns:
        Of each query its results, and whether it is familiar.

    Raises:
        InputError: an unusable item or filter.
    """
    keep = tuple(
        (column, value)
        for column, value in (("split", given.split), ("label", given.label))
        if value is not None
    )
    if given.like is not None:
        return _more_like(answering, given, given.like, keep)
    scorer = answering.scorer
    ((view, cells),) = (given.query or {}).items()
    scorer.view(view)
    into = scorer.view(given.into).name if given.into else scorer.other(view)
    _refuse_many(len(cells))
    features = answering.features(view, _some(cells))
    found = answering.searches(Query(view, features, into, given.top, keep))
    results = [
        {"results": _ranked(_results(answering, into, rows, scores)), **_familiar(p)}
        for rows, scores, p in zip(*(part.tolist() for part in found), strict=True)
    ]
    return {"version": answering.number, "view": view, "into": into, "found": results}


def _more_like(answering: Answering, given: asked.Search, like: asked.Like, keep: Keep) -> Answer:
    """What is like an item of the gallery, without the item itself."""
    scorer = answering.scorer
    into = scorer.view(given.into or like.view).name
    vectors = answering.vectors_of_pair(like.view, like.pair)
    alike = into == like.view
    # one more where the item itself is among them
    rows, scores = answering.galleries.nearest(into, vectors, given.top + alike, keep, alike)
    found = _results(answering, into, rows[0].tolist(), scores[0].tolist())
    if alike:
        found = [one for one in found if one["pair"] != like.pair]
    results = [{"results": _ranked(found[: given.top]), **_familiar(None)}]
    return {"version": answering.number, "view": like.view, "into": into, "found": results}


def _results(answering: Answering, view: str, rows: list[int], scores: list[float]) -> list[Answer]:
    """Rows of a gallery that were found, with their scores."""
    return [
        {"score": score, **answering.shown(view, row)}
        for row, score in zip(rows, scores, strict=True)
        if row >= 0
    ]


def classify(answering: Answering, given: asked.Classify) -> Answer:
    """The labels of each item, with the conformal set.

    Args:
        answering: what answers.
        given: items and labels.

    Returns:
        Of each item its best labels, and whether it is familiar.

    Raises:
        InputError: an unusable item, label or template, or a model without a view of texts.
    """
    scorer = answering.scorer
    ((view, cells),) = given.items.items()
    texts = [name for name in scorer.names if scorer.views[name].modality == "text"]
    if len(texts) != 1 or scorer.view(view).name == texts[0]:
        raise InputError(
            f"labels are texts, so they need one view of texts and items of the other; the views "
            f"are {', '.join(f'{name} ({one.modality})' for name, one in scorer.views.items())}"
        )
    _refuse_many(len(cells))
    prompts = prompts_for(scorer.prompts, given.labels, given.templates)
    if sum(map(len, prompts)) > _MOST_PROMPTS:
        raise InputError(
            f"{len(given.labels)} labels make {sum(map(len, prompts)):,} prompts, and a request "
            f"may have {_MOST_PROMPTS:,}; ask for fewer labels or templates at a time"
        )
    candidates = Candidates.of(
        given.labels, prompts, lambda sentences: answering.features(texts[0], sentences)
    )
    features = answering.features(view, _some(cells))
    labelled = scorer.label(view, features, candidates, given.top, given.alpha)
    p_familiar = answering.fitted.familiar(view, features).tolist()
    found = [
        {"labels": row, **_familiar(p)} for row, p in zip(labelled.rows(), p_familiar, strict=True)
    ]
    return {"version": answering.number, "alpha": labelled.alpha, "found": found}


def _ranked(found: list[Answer]) -> list[Answer]:
    return [{"rank": rank, **one} for rank, one in enumerate(found, start=1)]


def _familiar(p: float | None) -> Answer:
    if p is None:
        return {"p_familiar": None, "unfamiliar": False}
    return {"p_familiar": p, "unfamiliar": p <= UNFAMILIAR}


def _some(cells: list[Any]) -> list[Any]:
    if not cells:
        raise InputError("no items; give one or more")
    return cells


def _refuse_many(count: int) -> None:
    if count > asked.MOST_ITEMS:
        raise InputError(
            f"{count} items, and a request may have {asked.MOST_ITEMS}; send them in parts"
        )
