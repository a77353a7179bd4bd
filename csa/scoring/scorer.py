"""A fitted alignment with all that a question to it needs, and nothing of the training data.

A scorer is a folder of files that hold no code: alignment.safetensors, calibration.safetensors (of
a model that was evaluated) and scoring.json. A registered model carries them, `csa serve` answers
from them, and `csa score` asks the same object of a workspace.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from csa.core.alignment import Alignment, load
from csa.core.matrices import Array, Float64
from csa.core.search import top_k
from csa.errors import ArtifactError, InputError
from csa.params.measure import PromptParams
from csa.scoring.frozen import FrozenView
from csa.storage.files import read_json, write_json

if TYPE_CHECKING:  # a search judges nothing and waits for no scipy
    from csa.evaluation.conformal import PairCalibration
    from csa.scoring.answers import Labelled, Scores
    from csa.scoring.labels import Candidates

ALIGNMENT, CALIBRATION, SETTINGS = (
    "alignment.safetensors",
    "calibration.safetensors",
    "scoring.json",
)
"""The files of a scorer."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """Answers for one fitted model.

    Attributes:
        alignment: how features of the two views are compared.
        views: name -> the view and its frozen encoder, in order.
        read_judge: gives the scores of held-out pairs, None if nothing was evaluated; called
            when a question needs them.
        read_prompts: gives how labels are put into words.
        alpha: error rate of verdicts and sets where a question names none.
        max_pixels: a picture with more is refused.
        about: facts for people: name of the model, run, metrics.
    """

    alignment: Alignment
    views: dict[str, FrozenView]
    read_judge: Callable[[], "PairCalibration | None"] = lambda: None
    read_prompts: Callable[[], PromptParams] = PromptParams
    alpha: float = 0.1
    max_pixels: int = 200_000_000
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, device: str = "auto") -> "Scorer":
        """Open a folder that `write` made.

        Args:
            folder: its files.
            device: where encoders run, see `csa.encoders.device.Device`.

        Returns:
            The scorer.

        Raises:
            ArtifactError: a file is missing, damaged, or of another version of csa.
        """
        settings = read_json(folder / SETTINGS)
        try:
            return cls(
                alignment=load(folder / ALIGNMENT),
                views={
                    name: FrozenView.of(view, device) for name, view in settings["views"].items()
                },
                read_judge=partial(_judge, folder if settings["calibrated"] else None),
                read_prompts=partial(PromptParams.model_validate, settings["prompts"]),
                alpha=float(settings["alpha"]),
                max_pixels=int(settings["max_pixels"]),
                about=settings["about"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"{folder / SETTINGS}: lacks {error}; it was written by another version of csa, or "
                f"edited: register the run again"
            ) from None

    def write(self, folder: Path) -> list[Path]:
        """Write the scorer's files; equal scorers give equal bytes.

        Args:
            folder: where to.

        Returns:
            The files.

        Raises:
            WorkspaceError: a file cannot be written.
        """
        files = [folder / ALIGNMENT, folder / SETTINGS]
        self.alignment.save(files[0])
        settings = {
            "views": {name: view.as_dict() for name, view in self.views.items()},
            "calibrated": self.judge is not None,
            "prompts": self.prompts.model_dump(mode="json"),
            "alpha": self.alpha,
            "max_pixels": self.max_pixels,
            "about": self.about,
        }
        write_json(files[1], settings)
        if self.judge is not None:
            from csa.scoring.calibration import write_calibration

            write_calibration(folder / CALIBRATION, self.judge)
            files.append(folder / CALIBRATION)
        return files

    @cached_property
    def judge(self) -> "PairCalibration | None":
        """Scores of held-out pairs; None if nothing was evaluated."""
        return self.read_judge()

    @cached_property
    def prompts(self) -> PromptParams:
        """How labels are put into words."""
        return self.read_prompts()

    @property
    def names(self) -> tuple[str, str]:
        """The names of the two views, first and second."""
        first, second = self.views
        return first, second

    def other(self, view: str) -> str:
        """The name of the other view."""
        return next(name for name in self.names if name != view)

    def view(self, name: str) -> FrozenView:
        """A view by its name.

        Raises:
            InputError: there is no such view.
        """
        if name not in self.views:
            raise InputError(f"no view is called {name!r}; the views are {', '.join(self.views)}")
        return self.views[name]

    def vectors(self, view: str, features: Array) -> Float64:
        """Index vectors of one view's items, (n, k); inner products across views are similarities.

        Args:
            view: of the items.
            features: by the view's encoder, shape (n, d).

        Returns:
            The vectors, shape (n, k).

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        side = "X" if view == self.names[0] else "Y"
        vectors: Float64 = self.alignment.index_vectors(**{side: features})
        return vectors

    def scores(self, X: Array, Y: Array, alpha: float | None = None) -> "Scores":
        """Score pairs.

        Args:
            X: features of the first view, shape (n, p).
            Y: features of the second view, shape (n, q); row i belongs to row i of X.
            alpha: of the verdicts, above 0 and below 0.5; None takes the model's.

        Returns:
            Scores, p-values and verdicts.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: an alpha out of range.
        """
        from csa.scoring.answers import Beside, Scores

        values = self.alignment.score_pairs(X, Y)
        if self.judge is None:
            return Scores(values)
        true, strange = self.judge.true.scores, -self.judge.strangers.scores[::-1]
        beside = Beside(
            np.searchsorted(true, values) / len(true),
            np.searchsorted(strange, values) / len(strange),
            self.judge.decide(values, self.checked(alpha)),
        )
        return Scores(values, beside)

    def search(
        self, view: str, queries: Array, gallery: Array, k: int
    ) -> tuple[NDArray[np.intp], Float64]:
        """The k best items of the other view for every query.

        Args:
            view: of the queries.
            queries: features, shape (n, d).
            gallery: features of the other view's items, shape (m, d').
            k: how many.

        Returns:
            Rows of the gallery and their scores, both (n, min(k, m)), best first.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        rows, scores = top_k(
            self.vectors(view, queries), self.vectors(self.other(view), gallery), k
        )
        return rows, scores

    def label(
        self, view: str, features: Array, candidates: "Candidates", top: int, alpha: float | None
    ) -> "Labelled":
        """Put every item to the labels it is most similar to.

        Args:
            view: of the items.
            features: of the items, shape (n, d).
            candidates: the labels, in the other view's features.
            top: how many labels an item gets.
            alpha: of the conformal set; None takes the model's.

        Returns:
            The labels of each item, and its conformal set.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: an alpha out of range.
        """
        from csa.scoring.answers import Labelled

        best, scores = self.search(view, features, candidates.features, top)
        p_match = None if self.judge is None else self.judge.true.p_value(scores)
        labels = [[candidates.labels[i] for i in row] for row in best]
        return Labelled(labels, scores, p_match, self.checked(alpha))

    def checked(self, alpha: float | None) -> float:
        """An error rate, the model's own where none is given.

        Raises:
            InputError: it is not above 0 and below 0.5.
        """
        if alpha is None:
            return self.alpha
        if not 0 < alpha < 0.5:
            raise InputError(f"alpha must lie above 0 and below 0.5, got {alpha:g}")
        return alpha


def _judge(folder: Path | None) -> "PairCalibration | None":
    if folder is None:
        return None
    from csa.scoring.calibration import read_calibration

    return read_calibration(folder / CALIBRATION)
