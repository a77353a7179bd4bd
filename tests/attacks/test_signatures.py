"""Where a project has trusted-keys.toml, what comes from elsewhere is taken when one of its keys
signed it, and for that purpose; and nothing else is.
"""

import json
import shutil
import stat
import subprocess
from datetime import date, timedelta

import pytest
import yaml
from click.testing import CliRunner
from small_repo import SmallRepo
from team import Store, share_through, trust

from csa.cli.commands import main
from csa.errors import InputError, WorkspaceError
from csa.operations.cache import sharing
from csa.operations.cache.restoring import restore
from csa.operations.opened import Project
from csa.operations.trust.keys import KEY_VARIABLE, Signature, is_signed, make_key, own_key, place
from csa.operations.trust.trusted import FILE, trusted_keys
from csa.pipeline.workspace import Workspace

STAGE = {
    "cmd": "mkdir -p data/d && echo made > data/f && echo made > data/d/g",
    "deps": ["params.yaml"],
    "outs": ["data/f", "data/d"],
}


# Fields of a signed entry that hold what nobody signed, and what Python's own readers raise at.
ODD = {
    "a time that is a number": ("claim", "when", 5),
    "a time before all others": ("claim", "when", "0001-01-01T00:00:00+23:59"),
    "half a character": ("claim", "more", "\ud800"),
    "a signature that is a number": ("signature", "value", 5),
    "a key that is a list": ("signature", "key", ["ssh-ed25519"]),
    "outputs that are a number": ("claim", "entry", {"cmd": "x", "outs": 5}),
}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A key, the owner's clone whose one stage was run, pushed and signed with it, and a place that
    a teammate's clone is copied from.
    """
    root = tmp_path_factory.mktemp("pushed")
    owner, mate = (SmallRepo(root / name) for name in ("owner", "mate"))
    for repo in (owner, mate):
        (repo.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": STAGE}}))
    share_through(owner.root, root / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, str(root / "owner.key"))
        key, _ = make_key()
        sharing.bring_up_to_date(Project(owner.ws), "one")
        assert sharing.push(owner.ws).shared
    return key, root


@pytest.fixture
def shared(pushed, tmp_path):
    """The owner's key, a teammate's clone, and the place that both share through."""
    key, root = pushed
    for name in ("mate", "store"):
        shutil.copytree(root / name, tmp_path / name)
    shutil.copy(root / "owner" / "dvc.lock", tmp_path / "theirs.lock")
    share_through(tmp_path / "mate", tmp_path / "store")
    return key, Workspace(tmp_path / "mate", tmp_path / "mate" / ".csa"), Store(tmp_path / "store")


def bring(ws):
    return restore(ws, "one").status


def test_what_a_trusted_key_signed_is_restored(shared):
    key, mate, _ = shared
    trust(mate.root, key)
    assert bring(mate) == "restored" and (mate.root / "data/d/g").read_text() == "made\n"


@pytest.mark.parametrize(
    "bounds",
    [
        {"may": "promote"},
        {"until": date.today() - timedelta(days=2)},
        {"since": date.today() + timedelta(days=2)},
        {"other": True},
        {"unsigned": True},
    ],
    ids="-".join,
)
def test_what_no_key_signed_that_is_trusted_for_it_is_computed(shared, monkeypatch, capsys, bounds):
    key, mate, store = shared
    bounds = dict(bounds)
    if bounds.pop("other", False):
        monkeypatch.setenv(KEY_VARIABLE, str(mate.root.parent / "other.key"))
        key, _ = make_key()
    unsigned = bounds.pop("unsigned", False)
    if unsigned:
        shutil.rmtree(store.root / "signed")
    trust(mate.root, key, **bounds)
    shutil.copy(mate.root.parent / "theirs.lock", mate.root / "dvc.lock")  # it is no proof any more
    assert bring(mate) == "missing"
    assert (
        "trusted-keys.toml does not trust its signer" in capsys.readouterr().err
    ) is not unsigned


@pytest.mark.parametrize("what", ["entry", "files", "object", "when", "depth", *ODD])
def test_a_changed_entry_or_object_is_not_what_was_signed(shared, what):
    key, mate, store = shared
    trust(mate.root, key)
    (file,) = (path for path in (store.root / "signed").rglob("*.json"))
    text = file.read_text()
    if what == "object":
        claim = outs_of(mate.root.parent / "theirs.lock")
        store.overwrite(claim["data/f"], b"planted\n")
    elif what in ODD:
        part, key, value = ODD[what]
        told = json.loads(text)
        told[part][key] = value
        file.write_text(json.dumps(told))
    elif what == "depth":
        file.write_text("[" * 100_000)
    elif what == "when":
        file.write_text(text.replace('"when": "20', '"when": "19'))
    else:
        planted = store.put(b"planted\n")
        old = outs_of(mate.root.parent / "theirs.lock")["data/f"]
        changed = text.replace(old, planted) if what == "entry" else text.replace('""', '"x"')
        file.write_text(changed)
    assert bring(mate) == "missing" and not (mate.root / "data").joinpath("f").exists()


def outs_of(lock):
    outs = yaml.safe_load(lock.read_text())["stages"]["one"]["outs"]
    return {out["path"]: out["md5"] for out in outs}


def test_without_trusted_keys_nothing_has_to_be_set_up(shared):
    _, mate, store = shared
    shutil.rmtree(store.root / "signed")
    shutil.copy(mate.root.parent / "theirs.lock", mate.root / "dvc.lock")
    assert bring(mate) == "restored"


def test_a_lock_in_a_commit_is_proof_on_a_branch_of_ones_own_and_on_no_strangers(shared):
    _, mate, _ = shared

    def git(*arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", mate.root, *who, *arguments], check=True)

    git("commit", "-qam", "stage")
    shutil.copy(mate.root.parent / "theirs.lock", mate.root / "dvc.lock")
    git("add", "-f", "dvc.lock")
    git("commit", "-qm", "ran")
    git("update-ref", "refs/remotes/stranger/branch", "HEAD")
    git("reset", "-q", "--hard", "HEAD~1")
    assert not (mate.root / "dvc.lock").exists() and bring(mate) == "missing"
    git("branch", "mine", "stranger/branch")
    assert bring(mate) == "restored" and (mate.root / "data/f").read_text() == "made\n"


def test_a_key_is_made_once_for_its_owner_alone_and_printed_for_the_team(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "keys" / "key"))
    first = CliRunner().invoke(main, ["key"])
    assert first.exit_code == 0 and stat.S_IMODE(place().stat().st_mode) == 0o600
    assert "PRIVATE" not in first.output and "PRIVATE" in place().read_text()
    (tmp_path / FILE).write_text(first.stdout)
    repo = SmallRepo(tmp_path / "repo")
    (repo.root / FILE).write_text(first.stdout)
    assert trusted_keys(repo.ws)[0].key == own_key().public
    assert CliRunner().invoke(main, ["key"]).stdout == first.stdout


def test_a_key_of_openssh_serves_too(tmp_path, monkeypatch):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    key = own_key()
    assert (tmp_path / "key.pub").read_text().startswith(key.public)
    assert is_signed(b"content", key.sign(b"content"))
    assert not is_signed(b"other", key.sign(b"content"))
    assert not is_signed(b"content", Signature(key.public, "no base64"))
    (tmp_path / "key").write_text("nonsense")
    with pytest.raises(WorkspaceError, match="cannot be read as a private key"):
        own_key()


@pytest.mark.parametrize(
    "text",
    [
        "key = 3",
        "[[key]]\nname = 'a'\npublic_key = 'ssh-rsa AAAA'\nmay = ['compute']",
        "[[key]]\nname = 'a'\npublic_key = 'PUBLIC'\nmay = ['everything']",
        "[[key]]\nname = 'a'\npublic_key = 'PUBLIC'\nmay = []",
        "[[key]]\nname = 'a'\npublic_key = 'PUBLIC'\nmay = ['compute']\nuntil = '2026'",
        "[[key]]\nname = 'a'\npublic_key = 'PUBLIC'\nmay = ['compute']\nuntill = 2026-01-01",
        "[[key",
        "key = " + "[" * 100_000,
        None,
        "link",
    ],
    ids=range(10),
)
def test_a_file_of_trusted_keys_that_is_not_right_stops_everything(tmp_path, monkeypatch, text):
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
    repo = SmallRepo(tmp_path / "repo")
    if text is None:
        (repo.root / FILE).mkdir()
    elif text == "link":
        (repo.root / FILE).symlink_to("nowhere")
    else:
        (repo.root / FILE).write_text(text.replace("PUBLIC", make_key()[0].public))
    with pytest.raises(InputError, match=r"trusted-keys\.toml: an entry cannot be used"):
        trusted_keys(repo.ws)
