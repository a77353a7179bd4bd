"""Misinformative captions, constructed: an image's caption beside one of another image, a random or
the most similar one.

    csa run recipes/flickr8k.yaml --data PATH
    python -m benchmarks.out_of_context

Each held-out image gives its first caption and a second one: of the image itself (in context, every
other image), or of another image (out of context). Easy: a random image's. Hard: that of the image
whose features are nearest, in the image encoder's own space. Thresholds are chosen on half of the
images, figures are of the other half. Captions are compared in the text encoder's space and in the
canonical one; the paired bootstrap resamples the images of the test half, the same for both.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.measure import SEED, record
from csa.core.alignment import load
from csa.core.preparation import unit
from csa.core.threads import one_thread_a_product
from csa.datasets.pairs_table import read_pairs
from csa.evaluation.bootstrap import estimate, group_draws
from csa.evaluation.detection import Ranked
from csa.evaluation.out_of_context import (
    Similarities,
    caption_similarity,
    evaluate_out_of_context,
    expected_image,
)
from csa.features.shards import FeatureTable
from csa.params.measure import EvaluateParams
from csa.pipeline.recipes import existing_workspace


def main() -> None:
    ws = existing_workspace("flickr8k")
    alignment, params = load(ws.alignment), EvaluateParams()
    tables = {view: FeatureTable.read(ws.features(view)) for view in ("image", "text")}
    test = read_pairs(ws.pairs).filter(pl.col("split") == "test")
    images = (
        test.group_by("image_hash", maintain_order=True)
        .agg("text_hash")
        .filter(pl.col("text_hash").list.len() > 1)
    )
    X = tables["image"].rows(images["image_hash"].to_list())
    captions = [
        tables["text"].rows([texts[k] for texts in images["text_hash"].to_list()]) for k in (0, 1)
    ]
    rng = np.random.default_rng(SEED)
    out = rng.permutation(len(X)) % 2 == 0
    result: dict[str, Any] = {"images": len(X)}
    with one_thread_a_product():
        for kind, other in (("easy", random_others(len(X), rng)), ("hard", nearest_others(X))):
            second = np.where(out[:, None], captions[1][other], captions[1])
            judged = {}
            for space in ("canonical", "encoder"):
                sides = (captions[0], second)
                if space == "canonical":
                    sides = tuple(expected_image(alignment, side, True) for side in sides)
                rows = Similarities(
                    caption_similarity(*sides),
                    alignment.score_pairs(X, second),
                    out,
                    np.arange(len(X)),
                )
                metrics, table, detector = evaluate_out_of_context(rows, params)
                result[f"{kind}, captions compared in the {space} space"] = metrics
                by_line = pl.col("discriminant") <= detector.cut
                judged[space] = table.with_columns(by_line=by_line).filter(pl.col("part") == "test")
            result[f"{kind}, encoder space minus canonical space"] = differences(
                judged["encoder"], judged["canonical"], params
            )
    record("out_of_context", result)


def differences(
    first: pl.DataFrame, second: pl.DataFrame, params: EvaluateParams
) -> dict[str, dict[str, dict[str, float]]]:
    """What the first comparison of captions has more than the second on the same test rows, with
    paired intervals over images.
    """
    out, group = first["out"].to_numpy(), np.arange(len(first))
    draws = group_draws(len(first), params.bootstrap, params.seed)

    def more(measure: Callable[[pl.DataFrame], Callable[[Any], float]]) -> dict[str, float]:
        a, b = measure(first), measure(second)
        return estimate(
            lambda weight: a(weight) - b(weight), group, draws, params.confidence
        ).as_dict()

    def auc(column: str) -> Callable[[pl.DataFrame], Callable[[Any], float]]:
        def measure(rows: pl.DataFrame) -> Callable[[Any], float]:
            score = -rows[column].to_numpy()
            ranked = Ranked.of(score[out], score[~out])
            return lambda weight: ranked.auc(weight[out], weight[~out])

        return measure

    def accuracy(column: str) -> Callable[[pl.DataFrame], Callable[[Any], float]]:
        def measure(rows: pl.DataFrame) -> Callable[[Any], float]:
            right = rows[column].to_numpy() == out
            return lambda weight: float(weight @ right / weight.sum())

        return measure

    return {
        "paper": {"auc": more(auc("rule_score")), "accuracy": more(accuracy("called_out"))},
        "discriminant": {"auc": more(auc("discriminant")), "accuracy": more(accuracy("by_line"))},
        "captions_alone": {"auc": more(auc("caption_similarity"))},
    }


def random_others(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Another row for every row."""
    order = rng.permutation(n)
    other = np.empty(n, dtype=np.intp)
    other[order] = np.roll(order, 1)
    return other


def nearest_others(X: Any) -> NDArray[np.intp]:
    """The row most similar to every row, by the cosine of centred features."""
    unit_rows = unit(X - X.mean(axis=0, dtype=np.float64))
    cosine = unit_rows @ unit_rows.T
    np.fill_diagonal(cosine, -np.inf)
    nearest: NDArray[np.intp] = cosine.argmax(axis=1)
    return nearest


if __name__ == "__main__":
    main()
