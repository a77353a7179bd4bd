"""Pairs, pools and an encoder's labels in one space."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from csa.core.alignment import Alignment
from csa.core.bridge import DEFAULT_TEMPERATURE, TEMPERATURES, LabelBridge
from csa.core.bridged import Bridged
from csa.core.crossfit import CrossFit
from csa.core.matrices import Array
from csa.core.moments import Moments
from csa.core.pools import Axes, Pool
from csa.core.scores import Score
from csa.core.shrinkage import Spans
from csa.core.training import Training

# A smaller pool of either view brings nothing: 300 photos beside 100 paired ones brought nothing.
LEAST_POOL = 200


@dataclass(frozen=True, eq=False)
class Unpaired:
    """What a fit may use beside its pairs.

    Attributes:
        x, y: pools of either view.
        bridge: labels of an encoder, if there are any.
    """

    x: Pool
    y: Pool
    bridge: LabelBridge | None = None

    @property
    def temperature(self) -> float:
        """The bridge's temperature, or what it starts from."""
        given = "auto" if self.bridge is None else self.bridge.temperature
        return DEFAULT_TEMPERATURE if isinstance(given, str) else float(given)

    def views(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Features of both views, the one with the bridge's head first.

        Args:
            X, Y: features of either view.

        Returns:
            (X, Y) or (Y, X).
        """
        return (Y, X) if self.bridge is not None and self.bridge.view == "y" else (X, Y)


class Setting(NamedTuple):
    """What is chosen beside moments and shrinkage.

    Attributes:
        weight: g, share of the plan in the moments.
        kappa: weight of the bridge, in standard deviations of its cosine.
        temperature: of the bridge.
    """

    weight: float
    kappa: float
    temperature: float


class Ground:
    """Pairs, pools and bridge, in the principal dimensions of either view.

    Args:
        training: pairs with features as the encoders gave them.
        unpaired: pools and bridge.
        plain: the fit without them, whose preparation is used.
        named: a score that was asked for by name; None for the normalised likelihood ratio.

    Attributes:
        plain, named: as given.
        axes, spans: the space, and how shrinkage there relates to the whole.
        U, V: the pools.
        training: the pairs.
        folds: moments of each fold of the pairs.
        pairs: cross-fitting of the pairs alone.
        rows: of the pairs that stand for each fold; `known`: all of these, ascending.
        temperatures: of the bridge that can be chosen; none without a bridge.
    """

    def __init__(
        self, training: Training, unpaired: Unpaired, plain: Alignment, named: Score | None
    ):
        self.plain, self.named = plain, named
        prepared = training.prepared(plain.prepare_x, plain.prepare_y)
        U, V = plain.prepare_x(unpaired.x.items), plain.prepare_y(unpaired.y.items)
        X, Y = np.asarray(prepared.X), np.asarray(prepared.Y)
        self.axes = Axes.of(X, U), Axes.of(Y, V)
        self.spans = Spans(self.axes[0].ratio, self.axes[1].ratio)
        self.training = replace(prepared, X=self.axes[0](X), Y=self.axes[1](Y), dimensions=None)
        self.U, self.V = self.axes[0](U), self.axes[1](V)
        self.folds = Moments.of_folds(self.training.X, self.training.Y, training.fold)
        self.pairs = CrossFit(self.folds)
        self.rows = [training.of_fold(k) for k in range(len(self.folds))]
        self.known = np.sort(np.concatenate(self.rows))
        self._bridges = self._all_bridges(training, unpaired)
        self.temperatures = tuple(self._bridges)

    @property
    def both(self) -> bool:
        """Whether there are enough items of both views for a plan, and enough groups for a fold's
        teacher to hold out another fold.
        """
        groups, folds = self.training.groups, len(self.folds)
        enough = groups - 2 * -(-groups // folds) >= 2
        return enough and min(len(self.U), len(self.V)) >= LEAST_POOL

    def _all_bridges(self, training: Training, unpaired: Unpaired) -> dict[float, Bridged]:
        head = unpaired.bridge
        if head is None:
            return {}
        given = head.temperature
        temperatures = TEMPERATURES if isinstance(given, str) else (float(given),)
        own, other = unpaired.views(training.X[self.known], training.Y[self.known])
        pool, other_pool = unpaired.views(unpaired.x.items, unpaired.y.items)
        logits, pool_logits = head.logits(own), head.logits(pool)
        crowd = other_pool if len(other_pool) else other
        return {
            T: Bridged.of(head, T, (self.known, logits, other), (pool_logits, other_pool), crowd)
            for T in temperatures
        }

    def bridge(self, setting: Setting) -> Bridged | None:
        """The bridge at a setting's temperature, if the setting uses it.

        Args:
            setting: of a student.

        Returns:
            The bridge, or None.
        """
        return self._bridges.get(setting.temperature) if setting.kappa else None
