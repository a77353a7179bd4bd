"""What the parameters of the estimator ask for, checked."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from csa.core.held import Held
from csa.core.preparation import Preparation
from csa.core.rows import Features
from csa.core.scores import SCORES, Score
from csa.core.shrinkage import Shrinkage
from csa.errors import InputError


@dataclass(frozen=True)
class Asked:
    """The parameters of `csa.CSA`, which describes each.

    Raises:
        InputError: one of them is out of range.
    """

    score: str
    shrinkage: Literal["auto"] | float | tuple[float, float]
    n_components: Literal["auto"] | int
    folds: int
    seed: int
    preparation: str | tuple[str, str]
    hubness: Literal["auto"] | bool

    def __post_init__(self) -> None:
        if self.score not in ("auto", *SCORES):
            raise InputError(
                f"score must be 'auto', {', '.join(map(repr, SCORES))}; got {self.score!r}"
            )
        size = self.n_components
        if size != "auto" and (not isinstance(size, int | np.integer) or size < 1):
            raise InputError(
                f"n_components must be 'auto' or a whole number from 1 up, got {size!r}"
            )
        if not isinstance(self.folds, int | np.integer) or self.folds < 2:
            raise InputError(f"folds must be a whole number from 2 up, got {self.folds!r}")
        if self.hubness not in ("auto", True, False):
            raise InputError(f"hubness must be 'auto', True or False, got {self.hubness!r}")
        self.given_shrinkage()

    @property
    def fixed_by_hand(self) -> bool:
        """Whether nothing is left to choose."""
        return self.published and (self.n_components != "auto" or not SCORES[self.score].truncated)

    @property
    def features_changed(self) -> bool:
        """Whether a preparation or a correction is asked for by name, which needs features."""
        raw = self.preparation in ("auto", "raw", ("raw", "raw"))
        return not raw or self.hubness is True

    @property
    def of_moments(self) -> bool:
        """Whether moments are all that a fit needs."""
        return self.fixed_by_hand and not self.features_changed

    @property
    def published(self) -> bool:
        """Whether the named score is to be weighted by in-sample correlations."""
        return self.score != "auto" and SCORES[self.score].in_sample and self.shrinkage != "auto"

    @property
    def whole_recipe(self) -> bool:
        """Whether preparations and hubness correction are to be chosen as well."""
        return self.score == "auto" and self.shrinkage == "auto" and self.preparation == "auto"

    def given_shrinkage(self) -> Shrinkage | None:
        """As named; None if it is to be chosen.

        Raises:
            InputError: it is no number or pair in [0, 1].
        """
        if isinstance(self.shrinkage, str):
            if self.shrinkage == "auto":
                return None
            raise InputError(
                f"shrinkage must be 'auto', a number or a pair of numbers, got {self.shrinkage!r}"
            )
        values = np.atleast_1d(np.asarray(self.shrinkage, dtype=np.float64))
        if values.shape not in ((1,), (2,)) or not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"shrinkage must be one number or a pair, each in [0, 1]; got {self.shrinkage!r}"
            )
        return Shrinkage(float(values[0]), float(values[-1]))

    def given_preparation(self, x: Features, y: Features) -> tuple[Preparation, Preparation]:
        """As named, fitted to the features; raw where it is left on "auto" and score or
        shrinkage are not.

        Args:
            x: first view, shape (n, p).
            y: second view, shape (n, q).

        Returns:
            One for each view.

        Raises:
            InputError: more than two are named, or one that there is not.
        """
        names = (
            self.preparation
            if isinstance(self.preparation, tuple | list)
            else (self.preparation,) * 2
        )
        if len(names) != 2:
            raise InputError(
                f"preparation must be 'auto', one name or a pair of names, got {self.preparation!r}"
            )
        first, second = ("raw" if name == "auto" else name for name in names)
        return Preparation.fit(first, x, self.seed), Preparation.fit(second, y, self.seed)

    def candidates(self, held: Held) -> list[Score]:
        """Scores to choose from, the preferred one first: it wins ties.

        Args:
            held: what the components were worth.

        Returns:
            One or more.
        """
        size = None if self.n_components == "auto" else int(self.n_components)
        if self.score != "auto":
            return [*SCORES[self.score].candidates(held, size)]
        return [
            score
            for kind in SCORES.values()
            for score in kind.candidates(held, size, per_doubling=1)
        ]
