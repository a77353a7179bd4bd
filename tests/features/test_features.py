"""The item cache and the feature shards: nothing computed twice, nothing damaged used, stable
under growth.
"""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from csa.core.rows import Rows
from csa.encoders.base import Encoder
from csa.encoders.several import ViewEncoder
from csa.errors import ArtifactError, DataError, FeatureError, InputError
from csa.features import shards
from csa.features.cache import FeatureCache
from csa.features.embed import Items, embed, embed_view
from csa.features.shards import FeatureTable, _read_shard, write_shards


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Letters(Encoder):
    """Counts letters; remembers what it was asked for."""

    def __init__(self, batch_size=4):
        super().__init__({"encoder": "letters"}, batch_size)
        self.seen = []

    def padded_lengths(self, values):
        return [-(-len(value) // 4) * 4 for value in values]

    def prepare(self, item):
        return item

    def forward(self, prepared, padded_length):
        assert len(prepared) == self.batch_size and {-(-len(p) // 4) * 4 for p in prepared} == {
            padded_length
        }
        self.seen += list(dict.fromkeys(prepared))
        return np.array(
            [[text.count(c) for c in "abcdefgh"] for text in prepared], dtype=np.float32
        )


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    return list(
        dict.fromkeys(
            "".join(rng.choice(list("abcdefgh"), size=rng.integers(1, 20))) for _ in range(n)
        )
    )


def run(values, folder, encoder=None, load=str):
    encoder = encoder or Letters()
    items = [(digest(value), value) for value in values]
    cache = FeatureCache(folder, encoder.fingerprint)
    return embed(encoder, Items(items, load, "embed"), cache), encoder


def expected(values):
    return np.array([[value.count(c) for c in "abcdefgh"] for value in values], dtype=np.float32)


def test_features_come_in_order_and_only_once(tmp_path):
    values = texts(50)
    first, _ = run(values, tmp_path)
    np.testing.assert_array_equal(first.features, expected(values))
    assert (first.computed, first.reused) == (len(values), 0)
    again, encoder = run(values[::-1], tmp_path)
    np.testing.assert_array_equal(again.features, first.features[::-1])
    assert (again.computed, again.reused, encoder.seen) == (0, len(values), [])


def test_one_new_item_is_one_item(tmp_path):
    values = texts(30)
    run(values, tmp_path)
    grown = [*values[:7], "hhhhh", *values[7:]]
    result, encoder = run(grown, tmp_path)
    assert encoder.seen == ["hhhhh"] and (result.computed, result.reused) == (1, len(values))
    np.testing.assert_array_equal(result.features, expected(grown))


class Lengths(Letters):
    """Another encoder of the same texts."""

    def __init__(self, batch_size=4):
        super().__init__(batch_size)
        self.description = {"encoder": "lengths"}
        self.fingerprint = "lengths-1"

    def forward(self, prepared, padded_length):
        self.seen += list(dict.fromkeys(prepared))
        return np.array([[len(text), 1] for text in prepared], dtype=np.float32)


def test_an_encoder_put_beside_costs_its_own_passes_alone(tmp_path):
    values = texts(30)
    run(values[:20], tmp_path)
    letters, lengths = Letters(), Lengths()
    items = [(digest(value), value) for value in values]
    encoder = ViewEncoder([letters, lengths])
    done = embed_view(encoder, Items(items, str, "embed"), tmp_path)
    assert sorted(letters.seen) == sorted(values[20:]) and sorted(lengths.seen) == sorted(values)
    assert (done.computed, done.reused) == (len(values), 0)
    rows = [expected(values), np.array([[len(value), 1] for value in values], dtype=np.float32)]
    np.testing.assert_allclose(
        done.features,
        np.concatenate(
            [part / np.linalg.norm(part, axis=1, keepdims=True) for part in rows], axis=1
        ),
        rtol=1e-6,
    )
    again = embed_view(encoder, Items(items, str, "embed"), tmp_path)
    assert (again.computed, again.reused) == (0, len(values))
    np.testing.assert_array_equal(again.features, done.features)
    write_shards(tmp_path / "shards", [item for item, _ in items], done.features, encoder)
    table = FeatureTable.read(tmp_path / "shards")
    np.testing.assert_array_equal(table.rows([digest(value) for value in values]), done.features)


def test_what_a_team_has_of_several_encoders_is_not_computed_again(tmp_path):
    values = texts(30)
    items = [(digest(value), value) for value in values]
    theirs = embed_view(
        ViewEncoder([Letters(), Lengths()]),
        Items(items[:25], str, "embed"),
        tmp_path / "theirs",
    )
    ours = ViewEncoder([Letters(), Lengths()])
    FeatureCache(tmp_path / "ours", ours.fingerprint).write(
        [item for item, _ in items[:25]], theirs.features
    )
    done = embed_view(ours, Items(items, str, "embed"), tmp_path / "ours")
    assert [sorted(part.seen) for part in ours.parts] == [sorted(values[25:])] * 2
    assert (done.computed, done.reused) == (5, 25)
    whole = embed_view(
        ViewEncoder([Letters(), Lengths()]), Items(items, str, "embed"), tmp_path / "theirs"
    )
    np.testing.assert_array_equal(done.features, whole.features)


def test_a_failure_keeps_what_was_finished(tmp_path):
    values = [f"{'abcdefgh'[i % 8]}{'abcdefgh'[i // 8]}" for i in range(40)]

    def load(value):
        if value == values[20]:
            raise DataError("gone")
        return value

    with pytest.raises(DataError, match="gone"):
        run(values, tmp_path, load=load)
    result, encoder = run(values, tmp_path)
    assert result.reused >= 16 and len(encoder.seen) == result.computed == 40 - result.reused
    np.testing.assert_array_equal(result.features, expected(values))


def test_kill_9_loses_the_batches_in_hand_and_nothing_else(tmp_path):
    code = (
        "import os, sys, time\n"
        "sys.path.insert(0, 'tests/features')\n"
        "from pathlib import Path\n"
        "from test_features import Letters, run, texts\n"
        "class Dying(Letters):\n"
        "    def forward(self, prepared, padded_length):\n"
        "        if len(self.seen) >= 16: time.sleep(0.5); os.kill(os.getpid(), 9)\n"
        "        return super().forward(prepared, padded_length)\n"
        "values = [f'{a}{b}' for a in 'abcdefgh' for b in 'abcdefgh']\n"
        "run(values, Path(sys.argv[1]), Dying())\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert died.returncode == -9
    values = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    result, _ = run(values, tmp_path)
    assert result.reused == 16
    np.testing.assert_array_equal(result.features, expected(values))


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "swap"])
def test_a_damaged_cache_file_is_detected_and_computed_again(tmp_path, capsys, damage):
    values = texts(40)
    run(values, tmp_path)
    files = sorted(tmp_path.rglob("*.safetensors"))
    content = files[0].read_bytes()
    lost = {
        "flip": content[:-2] + bytes([content[-2] ^ 64]) + content[-1:],
        "truncate": content[:-4],
        "empty": b"",
        "swap": files[1].read_bytes(),
    }[damage]
    files[0].write_bytes(lost)
    result, encoder = run(values, tmp_path)
    assert 1 <= result.computed <= 4 and len(encoder.seen) == result.computed
    np.testing.assert_array_equal(result.features, expected(values))
    if damage != "swap":  # a copy of another file is its double, and that one is read
        assert "is damaged; its features are computed again" in capsys.readouterr().err


def test_nan_from_an_encoder_is_refused_before_it_is_cached(tmp_path):
    class Broken(Letters):
        def forward(self, prepared, padded_length):
            features = super().forward(prepared, padded_length)
            features[[i for i, text in enumerate(prepared) if text == "bad"]] = np.nan
            return features

    with pytest.raises(FeatureError, match=r"NaN or infinity for 'bad'"):
        run(["bad"], tmp_path, Broken())
    assert not list(tmp_path.rglob("*.safetensors"))


def shards_of(values, folder):
    write_shards(folder, [digest(value) for value in values], expected(values), Letters())
    return {file.name for file in folder.glob("*.parquet")}


def test_shards_round_trip_and_do_not_depend_on_history(tmp_path):
    values = texts(6000)
    names = shards_of(values, tmp_path / "a")
    assert len(names) > 2
    table = FeatureTable.read(tmp_path / "a")
    some = [values[i] for i in (5, 0, 3000, 5)]
    np.testing.assert_array_equal(table.rows([digest(value) for value in some]), expected(some))
    assert table.features.dtype == np.float32
    shards_of(values[:100], tmp_path / "b")
    assert shards_of(values, tmp_path / "b") == names
    assert (tmp_path / "a" / "index.json").read_bytes() == (
        tmp_path / "b" / "index.json"
    ).read_bytes()
    with pytest.raises(InputError, match="has no features"):
        table.rows([digest("stranger")])


def test_a_large_table_stays_in_its_files_and_says_the_same(tmp_path, monkeypatch):
    values = texts(6000)
    shards_of(values, tmp_path)
    small = FeatureTable.read(tmp_path)
    monkeypatch.setattr(shards, "_IN_MEMORY_BYTES", 1000)
    read, table = [], FeatureTable.read(tmp_path)
    monkeypatch.setattr(shards, "_read_shard", lambda *a: read.append(a[0]) or _read_shard(*a))
    asked = [digest(values[i]) for i in (5, -1, 0, 3000, 5)]
    source = table.source(asked)
    assert isinstance(source, Rows) and source.shape == (5, table.dimension) and not read
    np.testing.assert_array_equal(source[np.array([1, 4])], small.rows(asked)[[1, 4]])
    assert 0 < len(read) < len(list(tmp_path.glob("*.parquet")))
    np.testing.assert_array_equal(table.rows(asked), small.rows(asked))
    np.testing.assert_array_equal(table.features, small.features)
    with pytest.raises(InputError, match="has no features"):
        table.source([digest("stranger")])


def harm_a_shard(folder, damage):
    first, second = sorted(folder.glob("*.parquet"))[:2]
    if damage == "delete":
        first.unlink()
    else:
        content = bytearray(first.read_bytes())
        content[len(content) // 2] ^= 1
        first.write_bytes(bytes(content) if damage == "flip" else second.read_bytes())


@pytest.mark.parametrize("damage", ["flip", "swap", "delete"])
def test_a_damaged_shard_of_a_large_table_is_never_read(tmp_path, damage, monkeypatch):
    """At the latest when its features are asked for."""
    monkeypatch.setattr(shards, "_IN_MEMORY_BYTES", 1000)
    shards_of(texts(6000), tmp_path)
    harm_a_shard(tmp_path, damage)
    with pytest.raises(ArtifactError, match=r"shard is (missing|damaged).*csa run"):
        FeatureTable.read(tmp_path).features  # noqa: B018 - reading them is the act


@pytest.mark.parametrize("place", [0, 2500, 6000])
def test_a_new_item_changes_one_shard(tmp_path, place):
    values = texts(6000)
    before = shards_of(values, tmp_path / "a")
    grown = [*values[:place], "hhhhhh", *values[place:]]
    after = shards_of(grown, tmp_path / "b")
    assert len(after - before) == 1


@pytest.mark.parametrize("damage", ["flip", "swap", "delete"])
def test_a_damaged_shard_is_never_read(tmp_path, damage):
    shards_of(texts(6000), tmp_path)
    harm_a_shard(tmp_path, damage)
    with pytest.raises(ArtifactError, match=r"shard is (missing|damaged).*csa run"):
        FeatureTable.read(tmp_path)


def test_a_speed_is_that_of_a_device(tmp_path):
    cache = FeatureCache(tmp_path, "letters-0")
    assert cache.seconds_per_item("cuda:1") is None
    cache.note_speed(100, 50.0)
    cache.note_speed(100, 1.0, "cuda:1")
    assert (cache.seconds_per_item(), cache.seconds_per_item("cuda")) == (0.5, 0.01)
