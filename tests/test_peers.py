"""The peers' official code: pinned commits, and one line where it is not there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers.official import PEERS

ROOT = Path(__file__).parents[1]
CLONE = ROOT / "benchmarks" / "peers" / "clone.sh"
OFFICIAL = ROOT / "benchmarks" / "peers" / "official.py"


def pins():
    """(name, address, commit) of every line of clone.sh that has an address."""
    return [line.split() for line in CLONE.read_text().splitlines() if " https://" in line]


def test_every_peer_is_pinned_to_a_whole_commit():
    assert {name for name, _, _ in pins()} == set(PEERS)
    for _, address, commit in pins():
        assert address.startswith("https://github.com/") and re.fullmatch(r"[0-9a-f]{40}", commit)


def elsewhere(folder, **address):
    """A copy of clone.sh in a checkout of its own, and an environment whose git finds GitHub at
    another address.
    """
    script = folder / "benchmarks" / "peers" / "clone.sh"
    script.parent.mkdir(parents=True)
    script.write_text(address.get("script", CLONE.read_text()))
    rewritten = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    key = {"GIT_CONFIG_KEY_0": f"url.{address['at']}/.insteadOf"}
    return script, {**os.environ, **rewritten, **key}


def cloned(script, environment):
    return subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, check=False
    )


def test_clone_parses_and_skips_where_git_reaches_nothing(tmp_path):
    subprocess.run(["bash", "-n", str(CLONE)], check=True)
    done = cloned(*elsewhere(tmp_path, at=f"file://{tmp_path}/nowhere"))
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith("skipped: offline (")
    assert not (tmp_path / ".bench").exists()


def test_clone_checks_out_the_pinned_commit_once(tmp_path):
    """With a repository of two commits in the place of each, the first of them pinned."""
    far = tmp_path / "far" / "authors" / "code"
    far.mkdir(parents=True)

    def git(*words):
        named = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        done = subprocess.run(
            ["git", "-C", str(far), *named, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    commits = []
    for text in ("first", "second"):
        (far / "said").write_text(text)
        git("add", "said")
        git("commit", "-q", "-m", text)
        commits.append(git("rev-parse", "HEAD"))
    head, _ = CLONE.read_text().split("<<'PINS'\n")
    pinned = f"{head}<<'PINS'\nsue https://github.com/authors/code {commits[0]}\nPINS\n"
    script, environment = elsewhere(tmp_path, at=f"file://{tmp_path}/far", script=pinned)
    done = cloned(script, environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".bench" / "code" / "sue" / "said").read_text() == "first"
    assert cloned(script, environment).stdout == f"sue: at {commits[0]}\n"


@pytest.mark.parametrize("peer", sorted(PEERS))
def test_a_peer_that_was_not_fetched_is_one_clear_line(peer, tmp_path):
    own = [str(OFFICIAL), peer, str(tmp_path / peer), str(tmp_path), "{}"]
    asked = ["-m", "benchmarks.unpaired_peers", "data", "folder", "--peers", peer]
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "benchmarks").symlink_to(ROOT / "benchmarks")
    paths = os.pathsep.join([str(tmp_path / "checkout"), str(ROOT)])
    for words in (own, asked):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path / "checkout",
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"{peer}: ") and done.stderr.endswith(
            "fetch the authors' code with: bash benchmarks/peers/clone.sh\n"
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--peers", "clip"], "no peer 'clip'; there are sotalign, structure, sue, rosetta"),
        (["--set", "depth=3"], "no setting 'depth'; there are alpha, "),
        (["--set", "steps=many"], "'many' is not JSON"),
    ],
)
def test_what_cannot_be_asked_for_is_said(words, said, tmp_path, monkeypatch, capsys):
    from benchmarks import unpaired_peers

    monkeypatch.setattr(sys, "argv", ["unpaired_peers", "data", "folder", *words])
    monkeypatch.setattr(unpaired_peers, "code_of", lambda name: tmp_path)
    with pytest.raises(SystemExit) as stopped:
        unpaired_peers.main()
    assert stopped.value.code == 2 and said in capsys.readouterr().err
