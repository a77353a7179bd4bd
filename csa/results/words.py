"""How numbers are said: one place for every arrow, percentage and interval that people read."""

from csa.results.estimate import Estimate
from csa.results.evaluation import RetrievalMetrics


def arrow(direction: str) -> str:
    """A direction for people; any other name stays as it is.

    >>> arrow("image_to_text")
    'image → text'
    """
    return direction.replace("_to_", " → ")


def spaced(name: str) -> str:
    """A name for people.

    >>> spaced("unseen_classes")
    'unseen classes'
    """
    return name.replace("_", " ")


def ordinal(number: int) -> str:
    """A place in a row.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 22, 113)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd', '113th']
    """
    teen = number % 100 in (11, 12, 13)
    return f"{number:,}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def plain(estimate: Estimate) -> str:
    """A number with its interval.

    >>> plain(Estimate(0.5, 0.25, 0.75))
    '0.500 [0.250, 0.750]'
    """
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def signed(estimate: Estimate, digits: int = 3, between: str = "") -> str:
    """A difference with its interval.

    >>> signed(Estimate(0.5, -0.25, 0.75))
    '+0.500 [-0.250, +0.750]'

    Args:
        estimate: the difference.
        digits: behind the point.
        between: what is said between the value and its interval.

    Returns:
        The difference with its sign, and its interval in brackets.
    """
    value, low, high = (
        f"{number:+.{digits}f}" for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{between} [{low}, {high}]"


def percent(estimate: Estimate) -> str:
    """A share with its interval.

    >>> percent(Estimate(0.5, 0.25, 0.75))
    '50.0% [25.0, 75.0]'
    """
    return f"{estimate.value:.1%} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def recall(k: int) -> str:
    """What recall at k is called.

    >>> recall(10)
    'R@10'
    """
    return f"R@{k}"


def metric_name(metric: str) -> str:
    """What a metric of queries is called; any other name stays as it is.

    >>> [metric_name(name) for name in ("recall_at_5", "mrr", "map")]
    ['R@5', 'MRR', 'mAP']
    """
    _, at, k = metric.partition("recall_at_")
    return recall(int(k)) if at else {"mrr": "MRR", "map": "mAP"}.get(metric, metric)


def recall_line(found: RetrievalMetrics, cutoffs: tuple[int, ...] = (1, 5, 10)) -> str:
    """The recalls of one direction in a line.

    Args:
        found: what was measured.
        cutoffs: numbers of results that are looked at.

    Returns:
        The recalls in percent with their intervals, one after the other.
    """
    return "   ".join(f"{recall(k)} {percent(found.recalls[k])}" for k in cutoffs)
