"""Checks for whoever extends CSA: whether an encoder keeps what the pipeline builds on.

from csa.testing import check_encoder

def test_my_encoder():
    check_encoder(MyEncoder(view), items)
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.base import Encoder, fingerprint_of


def check_encoder(encoder: Encoder, items: Sequence[Any], others: Sequence[Encoder] = ()) -> None:
    """Check an encoder on a few items, in seconds.

    Features are float32 of one shape, finite, and tell items apart. They are the same bits a second
    time, in another order, and alone: the item cache keeps what one batch gave for every other. The
    description is JSON-able and does not change as items are encoded. The fingerprint is that of
    the description, and encoders with other features have another one.

    Args:
        encoder: to check; its weights may be random.
        items: three or more different ones, as `prepare` takes them.
        others: encoders of the same kind that differ in one setting each, such as the pooling.

    Raises:
        AssertionError: something of this does not hold; the message says what to change.
    """
    given = list(items)
    assert len(given) >= 3, f"{len(given)} items say little of an encoder; give three or more"
    _check_description(encoder)
    described = json.dumps(encoder.description, sort_keys=True)
    features = encoder.encode(given)
    _check_features(features, len(given))
    _check_same(features, encoder.encode(given), "a second time", "is something drawn at random?")
    turned = encoder.encode(given[::-1])[::-1]
    _check_same(features, turned, "in another order", "does an item's place in the batch count?")
    alone = np.concatenate([encoder.encode([item]) for item in given])
    reason = "are items padded to the longest of a batch, or normalised over it?"
    _check_same(features, alone, "alone", reason)
    assert json.dumps(encoder.description, sort_keys=True) == described, (
        "the description changed while items were encoded; settle it in __init__, since the item "
        "cache is opened before the first item"
    )
    for other in others:
        _check_description(other)
        _check_told_apart(encoder, other, features, other.encode(given))


def _check_description(encoder: Encoder) -> None:
    assert encoder.description.get("encoder"), (
        "the description has no entry 'encoder'; put the name there, which people see"
    )
    try:
        again = json.loads(json.dumps(encoder.description))
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"the description is not JSON-able ({error}); describe weights by a hash"
        ) from None
    assert encoder.fingerprint == fingerprint_of(encoder.description) == fingerprint_of(again), (
        "the fingerprint is not that of the description; leave it to Encoder.__init__"
    )


def _check_features(features: Float32, n: int) -> None:
    assert features.ndim == 2 and len(features) == n, (
        f"features of {n} items have shape {features.shape}; expected ({n}, d)"
    )
    assert features.dtype == np.float32, f"features are {features.dtype}; expected float32"
    assert np.isfinite(features).all(), "features hold NaN or infinity; try float32 arithmetic"
    assert len(np.unique(features, axis=0)) > 1, (
        "all items have the same features; is the input used, and are the items different?"
    )


def _check_same(features: Float32, again: Float32, when: str, reason: str) -> None:
    assert features.shape == again.shape, (
        f"features have shape {again.shape} {when}, {features.shape} before; {reason}"
    )
    differ = np.flatnonzero((features != again).any(axis=1))
    assert not len(differ), (
        f"item {differ[0]} has other features {when}, by up to "
        f"{np.abs(features - again).max():.1e}; {reason}"
    )


def _check_told_apart(one: Encoder, other: Encoder, features: Float32, others: Float32) -> None:
    same = features.shape == others.shape and bool((features == others).all())
    assert same or one.fingerprint != other.fingerprint, (
        f"two encoders with other features have one fingerprint, {one.fingerprint}; put the "
        f"setting that differs into the description"
    )
