"""Requests that share an encoder's passes get what each would have got alone, to the last bit."""

import threading

import numpy as np
import pytest

from csa.encoders.registry import load_view_encoder
from csa.errors import DataError
from csa.params.views import ViewParams
from csa.serving.batches import SharedBatches

TEXTS = [f"{'a dog and ' * (k % 5)}the number {k}" for k in range(40)]


@pytest.fixture(scope="module")
def encoder():
    view = ViewParams(modality="text", encoder="minilm-l6-v2", batch_size=8)
    return load_view_encoder(view)


def together(shared, requests):
    """What each request gets when all arrive at once."""
    found, barrier = {}, threading.Barrier(len(requests))

    def ask(number, items):
        barrier.wait()
        try:
            found[number] = shared.encode([shared.prepare(item) for item in items])
        except DataError as error:
            found[number] = error

    threads = [threading.Thread(target=ask, args=one) for one in enumerate(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(requests))]


@pytest.mark.parametrize("workers", [1, 3])
def test_everybody_gets_the_features_of_alone(encoder, workers):
    shared = SharedBatches(encoder, workers)
    requests = [TEXTS[k : k + 1 + k % 4] for k in range(0, 40, 2)]
    for _ in range(2):  # the second time, shapes that were tried are trusted
        for items, rows in zip(requests, together(shared, requests), strict=True):
            np.testing.assert_array_equal(rows, encoder.encode(items))
    assert shared.items == 2 * sum(map(len, requests))


def test_an_item_that_cannot_be_encoded_is_its_own_requests_fault(encoder):
    shared = SharedBatches(encoder, 1)
    features = shared._features

    def broken(items):
        if any(item[0][1] > 20 for item in items):  # the long texts
            raise DataError("too long for this test")
        return features(items)

    shared._features = broken
    requests = [["a dog"], ["word " * 60], ["a fox"]]
    first, second, third = together(shared, requests)
    assert isinstance(second, DataError)
    np.testing.assert_array_equal(first, encoder.encode(requests[0]))
    np.testing.assert_array_equal(third, encoder.encode(requests[2]))


def test_one_item_alone_costs_no_whole_batch(encoder):
    shared, sizes = SharedBatches(encoder, 1), []
    for _ in range(6):  # sizes are tried, the smallest first
        shared.encode([shared.prepare("a dog")])
    (part,) = encoder.parts
    forward = type(part).forward

    def counted(part, prepared, length):
        sizes.append(len(prepared))
        return forward(part, prepared, length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(part), "forward", counted)
        rows = shared.encode([shared.prepare("a dog")])
    np.testing.assert_array_equal(rows, encoder.encode(["a dog"]))
    assert sizes[0] < encoder.parts[0].batch_size / 2
