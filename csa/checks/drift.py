"""Have pairs or unpaired items moved since a model was fitted, and do new pairs belong together in
its eyes?

All are asked in the model's canonical coordinates: what it does not look at cannot harm it. A
profile is kept with every fit (`csa.checks.profile`), so nothing of its data is needed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from csa.checks.checks import Check, judge
from csa.checks.profile import Profile
from csa.core.matrices import Float64
from csa.evaluation.bootstrap import group_means
from csa.evaluation.conformal import Calibration
from csa.params.checks import ChecksParams

_FEWEST_NEW_GROUPS = 20
# p-value up to which a pair counts as mismatched, and so the rate of false alarms
_RULED_OUT = 0.05
_SURE = 0.95


class _Compared(NamedTuple):
    """Names of three checks, the views they look at, and what is counted."""

    lost: str
    mean: str
    covariance: str
    views: tuple[str, ...]
    counted: str


def shift(before: Profile, now: Profile) -> tuple[Float64, Float64]:
    """How far each view moved, beyond what two samples of one distribution differ by.

    Means: root mean square over coordinates of the shift in standard deviations, from Hotelling's
    squared distance less its expectation r (1/n0 + 1/n1). Covariances: Kullback-Leibler divergence
    of the centred Gaussians in nats per coordinate, less its expectation (r + 1)/4 (1/n0 + 1/n1).

    Args:
        before: of the model that is compared with.
        now: of today's training pairs or unpaired items, in the same model's coordinates.

    Returns:
        Both with one value a view, shape (v,); 0 where there is no more than noise.
    """
    r = min(before.mean.shape[1], now.mean.shape[1])
    before, now = before.leading(r), now.leading(r)
    noise = 1 / before.looked_at + 1 / now.looked_at
    views = len(before.mean)
    means, covariances = np.zeros(views), np.zeros(views)
    for view in range(views):
        S0, S1 = (profile.covariance[view] + 1e-9 * np.eye(r) for profile in (before, now))
        factor = linalg.cho_factor(S0, lower=True)
        step = now.mean[view] - before.mean[view]
        means[view] = np.sqrt(max(0.0, step @ linalg.cho_solve(factor, step) / r - noise))
        log_ratio = np.linalg.slogdet(S1)[1] - 2 * np.log(np.diag(factor[0])).sum()
        divergence = (np.trace(linalg.cho_solve(factor, S1)) - r - log_ratio) / (2 * r)
        covariances[view] = max(0.0, divergence - (r + 1) / 4 * noise)
    return means, covariances


def check_drift(
    before: Profile, now: Profile, views: tuple[str, str], limits: ChecksParams
) -> list[Check]:
    """Counts, means and covariances of today's training groups against those the champion was
    fitted on.

    Args:
        before: the champion's profile.
        now: of today's training pairs, in the champion's coordinates.
        views: names of both views.
        limits: of each check.

    Returns:
        lost_groups, mean_shift and covariance_shift; a shift is that of the view that moved more.
    """
    return _compare(
        before,
        now,
        _Compared("lost_groups", "mean_shift", "covariance_shift", views, "training groups"),
        limits,
    )


def check_pool_drift(before: Profile, now: Profile, view: str, limits: ChecksParams) -> list[Check]:
    """Counts, means and covariances of a view's unpaired items against those the champion was
    fitted on.

    Args:
        before: of the champion's unpaired items.
        now: of today's, in the champion's coordinates.
        view: its name.
        limits: of each check.

    Returns:
        lost_unpaired, unpaired_mean_shift and unpaired_covariance_shift.
    """
    names = ("lost_unpaired", "unpaired_mean_shift", "unpaired_covariance_shift")
    unpaired = f"unpaired {view}"
    return _compare(before, now, _Compared(*names, (unpaired,), f"{unpaired} items"), limits)


def _compare(
    before: Profile, now: Profile, compared: _Compared, limits: ChecksParams
) -> list[Check]:
    lost = max(0.0, 1 - now.groups / before.groups)
    said = f"{now.groups:,} {compared.counted}, the champion had {before.groups:,}"
    checks = [judge(compared.lost, lost, limits, said)]
    means, covariances = shift(before, now)
    for name, what, values, unit in (
        (compared.mean, "means", means, "standard deviations"),
        (compared.covariance, "covariances", covariances, "nats a component"),
    ):
        view = int(values.argmax())
        said = (
            f"the {what} of {compared.views[view]} coordinates moved by {values[view]:.3g} {unit} "
            f"since the champion"
        )
        checks.append(judge(name, float(values[view]), limits, said))
    return checks


def check_new_pairs(
    true: Float64,
    true_group: NDArray[np.intp],
    new: Float64,
    new_group: NDArray[np.intp],
    limits: ChecksParams,
) -> Check | None:
    """Whether new pairs score, under the champion, like pairs that belong together.

    A pair is mismatched if its conformal p-value among held-out true pairs is at most 0.05, as one
    in twenty true pairs is too. The value is the share of groups beyond that, (rate - 0.05) / 0.95,
    at the lower end of its 95 % interval (Clopper & Pearson).

    Args:
        true: the champion's scores of held-out pairs that it has never seen, shape (n,).
        true_group: group number of each.
        new: its scores of the pairs that are new since, shape (m,).
        new_group: group number of each.
        limits: of the check.

    Returns:
        None if there are fewer than 20 groups of either kind.
    """
    from scipy.stats import beta

    groups = len(np.unique(new_group))
    if groups < _FEWEST_NEW_GROUPS or len(np.unique(true_group)) < _FEWEST_NEW_GROUPS:
        return None
    p_values = Calibration.of(true, true_group).p_value(new)
    rejected = float(
        group_means((p_values <= _RULED_OUT).astype(np.float64)[:, None], new_group).sum()
    )
    low = float(beta.ppf(1 - _SURE, rejected, groups - rejected + 1)) if rejected > 0 else 0.0
    excess = max(0.0, (low - _RULED_OUT) / (1 - _RULED_OUT))
    said = (
        f"of {groups:,} new groups the champion finds {rejected:.0f} mismatched, so surely "
        f"{excess:.1%} of new pairs are"
    )
    return judge("mismatched", excess, limits, said)
