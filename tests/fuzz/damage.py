"""Ways to damage a sound data set: bytes, lines, cells, JSON values, names and special files."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: list[Any] = [
    None, 5, -1, 1e308, float("nan"), float("inf"), "", " ", "x" * 5000, "../x", "/etc/passwd", [],
    {}, [[]], {"a": 1}, ["x"], True, "\ud800", "a\0b", "x" * 300 + ".jpg", 10**400, "none",
    [None], {"bytes": 5}, "\x1b]0;x\x07",
]  # fmt: skip
WORDS = [
    b"", b"\0", b'"', b'""', b"\r", b"\n", b"\t", b",", b"\xff", b"\xfe\xff", b"[" * 5000,
    b"1" * 6000, b"nan", b"NaN", b"../", b"x" * 140_000, b"@classLabel true", b"POINTS", b"WORD",
    b"version https://git-lfs.github.com/spec/v1\n", b"!", b"#", b"\xef\xbb\xbf", b"}", b"{",
]  # fmt: skip


def damage(folder: Path, dice: random.Random) -> str:
    """Damage one thing of a data set; what was done, in words."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    listed = [path for path in files if path.suffix.lower() not in (".jpg", ".jpeg", ".wav")]
    file = dice.choice(listed if listed and dice.random() < 0.8 else files)
    way = dice.choice(WAYS)
    if file.suffix in (".json", ".jsonl") and dice.random() < 0.6:
        way = json_value
    way(file, dice)
    return f"{way.__name__} of {file.relative_to(folder)}"


def flip_bytes(file: Path, dice: random.Random) -> None:
    """Change a few bytes."""
    content = bytearray(file.read_bytes())
    for _ in range(dice.choice((1, 1, 3, 20))):
        if content:
            content[dice.randrange(len(content))] = dice.randrange(256)
    file.write_bytes(bytes(content))


def flip_early(file: Path, dice: random.Random) -> None:
    """Change a byte of the header."""
    content = bytearray(file.read_bytes())
    if content:
        content[dice.randrange(min(len(content), 200))] = dice.choice((0, 1, 127, 128, 255))
    file.write_bytes(bytes(content))


def cut(file: Path, dice: random.Random) -> None:
    """End the file early."""
    content = file.read_bytes()
    file.write_bytes(content[: dice.randrange(len(content) + 1)])


def insert(file: Path, dice: random.Random) -> None:
    """Put something in somewhere."""
    content = file.read_bytes()
    at = dice.randrange(len(content) + 1)
    file.write_bytes(content[:at] + dice.choice(WORDS) + content[at:])


def replace(file: Path, dice: random.Random) -> None:
    """Something else in place of the whole."""
    file.write_bytes(dice.choice(WORDS))


def twice(file: Path, dice: random.Random) -> None:
    """A part of the content again."""
    content = file.read_bytes()
    at = dice.randrange(len(content) + 1)
    file.write_bytes(content + content[at:])


def line(file: Path, dice: random.Random) -> None:
    """Drop, repeat or empty a line."""
    lines = file.read_bytes().split(b"\n")
    at = dice.randrange(len(lines))
    lines[at : at + 1] = dice.choice(([], [lines[at], lines[at]], [b""], [dice.choice(WORDS)]))
    file.write_bytes(b"\n".join(lines))


def special(file: Path, dice: random.Random) -> None:
    """A pipe, a device, a folder, a link to itself or nothing in the file's place."""
    file.unlink()
    kind = dice.randrange(6)
    if kind == 0:
        os.mkfifo(file)
    elif kind == 1:
        file.symlink_to("/dev/zero")
    elif kind == 2:
        file.mkdir()
    elif kind == 3:
        file.symlink_to(file.name)
    elif kind == 4:
        file.symlink_to("/etc/hostname")


def rename(file: Path, dice: random.Random) -> None:
    """Another name."""
    names = ["\udcff\udcfe.jpg", "x" * 250, "a!b.tar", ".hidden", "a#3", "no ending", "[1].csv"]
    file.rename(file.parent / dice.choice(names))


def json_value(file: Path, dice: random.Random) -> None:
    """Another value somewhere in JSON."""
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n") if file.suffix == ".jsonl" or "\n{" in text else [text]
    at = dice.randrange(len(lines))
    try:
        lines[at] = json.dumps(_changed(json.loads(lines[at]), dice))
    except ValueError:
        lines[at] = dice.choice(("[" * 100_000, "5", "null", "[]", "{}", '"x"'))
    file.write_bytes("\n".join(lines).encode("utf-8", "replace"))


def _changed(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(sorted(value))
        if dice.random() < 0.15:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: _changed(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.85:
        at = dice.randrange(len(value))
        return [*value[:at], _changed(value[at], dice), *value[at + 1 :]]
    return dice.choice(VALUES)


WAYS: list[Callable[[Path, random.Random], None]] = [
    flip_bytes, flip_early, flip_early, cut, insert, insert, replace, twice, line, line, special,
    rename,
]  # fmt: skip
