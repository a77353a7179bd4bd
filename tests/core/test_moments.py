"""Moments: merging, subtracting, streaming, and what precision they are made in."""

import itertools

import numpy as np
import pytest
from factory import STRUCTURES, adversarial, correlations_by_qr
from hypothesis import given, settings
from hypothesis import strategies as st

import csa
from csa.core import accumulate
from csa.core.solve import solve
from csa.errors import ArtifactError, FeatureError, InputError


def close_moments(a, b, rtol=1e-10):
    assert a.n == b.n
    for name in ("mean_x", "mean_y", "cxx", "cyy", "cxy"):
        left, right = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(
            left, right, rtol=rtol, atol=rtol * np.abs(right).max(initial=1e-300)
        )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 5),
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(0, 9),
)
def test_any_split_merges_to_the_whole_and_subtraction_undoes_it(n, p, q, cuts, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(5, 2, (n, p)), rng.normal(-3, 1, (n, q))
    edges = sorted({0, n, *(min(c, n) for c in cuts)})
    parts = [csa.Moments.from_arrays(X[a:b], Y[a:b]) for a, b in itertools.pairwise(edges)]
    whole = csa.Moments.from_arrays(X, Y)
    close_moments(sum(parts[1:], start=parts[0]), whole, rtol=1e-9)
    for part in parts:
        close_moments((whole - part) + part, whole, rtol=1e-9)


def test_merge_is_associative_and_empty_is_neutral():
    rng = np.random.default_rng(0)
    a, b, c = (
        csa.Moments.from_arrays(rng.normal(size=(30, 3)), rng.normal(size=(30, 2)))
        for _ in range(3)
    )
    close_moments((a + b) + c, a + (b + c))
    close_moments(a + csa.Moments.empty(3, 2), a, rtol=0)
    assert (a - a).n == 0


def test_moments_survive_a_large_offset():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(5000, 4)), rng.normal(size=(5000, 3))
    moved = csa.Moments.from_arrays(X + 1e6, Y - 1e6)
    np.testing.assert_allclose(moved.cxx, csa.Moments.from_arrays(X, Y).cxx, rtol=1e-7, atol=1e-6)


def test_streamed_blocks_equal_one_array_and_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = (
        rng.normal(size=(10_000, 4)).astype(np.float32),
        rng.normal(size=(10_000, 3)).astype(np.float32),
    )
    streamed = csa.Moments.from_blocks(
        (X[i : i + 999], Y[i : i + 999]) for i in range(0, len(X), 999)
    )
    close_moments(streamed, csa.Moments.from_arrays(X, Y))
    streamed.save(tmp_path / "m.safetensors")
    close_moments(csa.Moments.load(tmp_path / "m.safetensors"), streamed, rtol=0)
    with pytest.raises(ArtifactError, match="another kind"):
        csa.load(tmp_path / "m.safetensors")


def test_more_cannot_be_subtracted_than_is_there():
    m = csa.Moments.from_arrays(np.eye(3), np.eye(3))
    with pytest.raises(FeatureError, match="cannot take 6 pairs out of 3"):
        m - (m + m)


@pytest.fixture
def always_worth_float32(monkeypatch):
    """Float32 is tried on small sets too; its use is recorded."""
    used = []
    result = accumulate.Accumulator.result

    def recorded(self):
        out = result(self)
        used.append(self.single)
        return out

    monkeypatch.setattr(accumulate, "_WORTH_FLOAT32", 0)
    monkeypatch.setattr(accumulate.Accumulator, "result", recorded)
    return used


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("condition", [1, 10, 100, 1e4, 1e5])
def test_whatever_precision_was_chosen_correlations_hold_to_1e_5(
    structure, condition, always_worth_float32
):
    X, Y = adversarial(structure, 2500, 60, 40, condition, np.random.default_rng(1), np.float32)
    rho = solve(csa.Moments.from_arrays(X, Y)).rho
    np.testing.assert_allclose(rho, correlations_by_qr(X, Y), atol=1e-5)


def test_float32_is_used_where_it_is_harmless_and_only_there(always_worth_float32):
    for condition in (1, 1e4):
        csa.Moments.from_arrays(
            *adversarial(
                "signal last", 2500, 60, 40, condition, np.random.default_rng(1), np.float32
            )
        )
    assert always_worth_float32 == [True, False]


def test_the_choice_of_precision_depends_on_no_unit_and_on_no_mean(
    always_worth_float32, monkeypatch
):
    monkeypatch.setattr(accumulate, "_MAX_ROWS", 1000)
    for condition in (1, 1e4):
        X, Y = adversarial("signal last", 5000, 60, 40, condition, np.random.default_rng(1))
        X[1000:] += 0.5 * X.std(axis=0)  # what came first has another mean
        blocks = [(X[i : i + 1000], Y[i : i + 1000]) for i in range(0, 5000, 1000)]
        for unit in (1e-8, 1, 1e4):
            csa.Moments.from_blocks(
                [(np.float32(unit * x), np.float32(unit * y)) for x, y in blocks]
            )
    assert always_worth_float32 == [True] * 3 + [False] * 3


def test_float32_products_would_have_been_wrong_where_they_are_refused(
    always_worth_float32, monkeypatch
):
    X, Y = adversarial("signal last", 2500, 60, 40, 1e3, np.random.default_rng(1), np.float32)
    monkeypatch.setattr(accumulate, "_TOLERANCE", np.inf)
    forced = solve(csa.Moments.from_arrays(X, Y)).rho
    assert always_worth_float32 == [True]
    assert np.abs(forced - correlations_by_qr(X, Y)).max() > 1e-5


@pytest.mark.parametrize("again", [True, False])
def test_a_stream_whose_conditioning_worsens_is_read_again_or_refused(
    again, always_worth_float32, monkeypatch
):
    monkeypatch.setattr(accumulate, "_MAX_ROWS", 500)
    X, Y = adversarial("signal first", 6000, 20, 180, 1, np.random.default_rng(2), np.float32)
    X[1000:, 3] *= 1e4  # so large that what came first no longer counts
    X[1000:, 4] = X[1000:, 3] * 1.0001 + X[1000:, 4]
    blocks = [(X[i : i + 700], Y[i : i + 700]) for i in range(0, 6000, 700)]
    if again:
        rho = solve(csa.Moments.from_blocks(blocks)).rho
        np.testing.assert_allclose(rho, correlations_by_qr(X, Y), atol=1e-5)
        assert always_worth_float32 == [False]
    else:
        with pytest.raises(FeatureError, match='give precision="float64"'):
            csa.Moments.from_blocks(iter(blocks))


def test_a_generator_that_starts_badly_goes_on_in_float64(always_worth_float32):
    X, Y = adversarial("twin columns", 9000, 60, 40, 1e4, np.random.default_rng(2), np.float32)
    streamed = csa.Moments.from_blocks(
        (X[i : i + 999], Y[i : i + 999]) for i in range(0, 9000, 999)
    )
    assert always_worth_float32 == [False]
    close_moments(streamed, csa.Moments.from_arrays(X, Y, precision="float64"), rtol=1e-10)


def test_float32_moments_are_close_to_float64_ones_and_float64_ones_merge_exactly(
    always_worth_float32,
):
    X, Y = adversarial("signal first", 6000, 30, 20, 3, np.random.default_rng(3), np.float32)
    exact = csa.Moments.from_arrays(X, Y, precision="float64")
    close_moments(csa.Moments.from_arrays(X, Y), exact, rtol=1e-6)
    parts = [
        csa.Moments.from_arrays(X[i : i + 1000], Y[i : i + 1000], precision="float64")
        for i in range(0, 6000, 1000)
    ]
    close_moments(sum(parts[1:], start=parts[0]), exact, rtol=1e-10)
    assert always_worth_float32 == [False, True] + [False] * 6


def test_forgotten_items_leave_no_trace():
    X, Y = adversarial("offset", 400, 12, 9, 10, np.random.default_rng(4))
    forget = np.random.default_rng(5).permutation(400)[:37]
    kept = np.setdiff1d(np.arange(400), forget)
    left = csa.Moments.from_arrays(X, Y) - csa.Moments.from_arrays(X[forget], Y[forget])
    close_moments(left, csa.Moments.from_arrays(X[kept], Y[kept]), rtol=1e-10)
    np.testing.assert_allclose(solve(left).rho, correlations_by_qr(X[kept], Y[kept]), atol=1e-9)


def test_fold_moments_are_those_of_the_folds_rows():
    X, Y = adversarial("clipped", 300, 7, 5, 10, np.random.default_rng(6))
    fold = np.random.default_rng(7).integers(0, 4, 300)
    for k, moments in enumerate(csa.Moments.of_folds(X, Y, fold)):
        close_moments(moments, csa.Moments.from_arrays(X[fold == k], Y[fold == k]))


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "int8", "torch.bfloat16", "torch.float16", "torch.float32"]
)
def test_every_type_of_feature_counts_as_the_numbers_it_holds(dtype):
    torch = pytest.importorskip("torch")
    X = torch.randint(-100, 100, (50, 6), generator=torch.Generator().manual_seed(0))
    expected = X.numpy().astype(np.float64)
    X = (
        X.to(getattr(torch, dtype.removeprefix("torch."))).requires_grad_()
        if dtype.startswith("torch.")
        else X.numpy().astype(dtype)
    )
    close_moments(csa.Moments.from_arrays(X, X), csa.Moments.from_arrays(expected, expected))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12), st.integers(0, 9)
)
def test_block_sizes_of_a_stream_do_not_matter(n, p, q, step, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(9, 1, (n, p)), rng.normal(size=(n, q))
    streamed = csa.Moments.from_blocks(
        (X[i : i + step], Y[i : i + step]) for i in range(0, n, step)
    )
    close_moments(streamed, csa.Moments.from_arrays(X, Y))


def test_files_larger_than_memory_are_mapped(tmp_path):
    X, Y = adversarial("offset", 5000, 9, 7, 10, np.random.default_rng(8), np.float32)
    for name, view in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", view)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"]
    close_moments(csa.Moments.from_arrays(*mapped), csa.Moments.from_arrays(X, Y), rtol=0)


def test_unusable_values_in_a_stream_are_named_by_their_row():
    X = np.zeros((40, 3))
    X[33, 2] = np.nan
    with pytest.raises(FeatureError, match=r"X has 1 values .* row 33, column 2"):
        csa.Moments.from_blocks((X[i : i + 8], X[i : i + 8]) for i in range(0, 40, 8))
    with pytest.raises(FeatureError, match="squares overflow"):
        csa.Moments.from_arrays(np.full((3, 2), 1e200) * [[1], [2], [3]], np.eye(3))
    with pytest.raises(FeatureError, match="blocks of"):
        csa.Moments.from_blocks([(np.eye(3), np.eye(3)), (np.eye(3), np.ones((3, 2)))])
    with pytest.raises(InputError, match="precision"):
        csa.Moments.from_arrays(np.eye(3), np.eye(3), precision="half")


def test_values_too_large_for_float32_products_are_multiplied_in_float64(always_worth_float32):
    X, Y = adversarial("signal first", 2500, 60, 40, 1, np.random.default_rng(1))
    moments = csa.Moments.from_arrays((X * 1e20).astype(np.float32), Y.astype(np.float32))
    assert always_worth_float32 == [False]
    np.testing.assert_allclose(solve(moments).rho, correlations_by_qr(X, Y), atol=1e-5)
