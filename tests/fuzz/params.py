"""Fuzz params.yaml: `make fuzz MINUTES=60`, or `python tests/fuzz/params.py --minutes 60`.

Each case is sound parameters with something changed in the text or in the values. Whatever is
neither parameters nor one of our errors on one line, or takes long, is printed.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import yaml

SECONDS = 2
VALUES: list[Any] = [
    None, True, -1, 0, 1, 10**30, 1.5, float("nan"), float("inf"), "", "x", "auto", "a\0b",
    "\x1b[2J", "x" * 5000, [], {}, [[1], 2], [None], {"a": 1}, [0.5, 0.1], "2024-13-45", "../..",
    "~", "\ud800",
]  # fmt: skip
TEXTS = [
    "[" * 300, "{", "}", "&a ", "*a", "*b", "<<: *a", "? ", "!!python/name:os", "!!binary x",
    "!!set ", "!!timestamp x", "---\n", "...\n", "\t", "\0", "\ufeff", "%YAML 9\n",
    "0x" + "f" * 5000, "1" * 5000,
    "1e999", ".nan", "-.inf", "2024-13-45", "|\n", ">\n", "'", '"', "\\x", ": ", "- ", "#", "\r",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b, *b]\n",
]  # fmt: skip


def sound() -> dict[str, Any]:
    """All parameters, written out."""
    from csa.params.schema import Params

    task = {"kind": "transfer", "dataset": {"kind": "imagefolder", "path": "x"}}
    return Params.from_mapping({"tasks": {"t": task}, "model": {"name": "m"}}).dump()


def changed(value: Any, dice: random.Random) -> Any:
    """The same with one value changed, added, renamed or left out."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(sorted(value, key=str))
        way = dice.random()
        rest = {name: one for name, one in value.items() if name != key}
        if way < 0.1:
            return rest
        if way < 0.2:
            return rest | {dice.choice((f"{key}_hash", "x", 5, None, "", "__class__")): value[key]}
        return value | {key: changed(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.7:
        at = dice.randrange(len(value))
        return [*value[:at], changed(value[at], dice), *value[at + 1 :]]
    return dice.choice(VALUES)


def case_of(seed: str, whole: dict[str, Any]) -> bytes:
    """The bytes of one case; the same seed makes the same."""
    dice = random.Random(seed)
    for _ in range(dice.choice((0, 1, 1, 2))):
        whole = changed(whole, dice)
    content = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True).encode("utf-8", "replace")
    for _ in range(dice.choice((0, 0, 1, 2))):
        at = dice.randrange(len(content) + 1)
        what = dice.choice(TEXTS).encode("utf-8", "replace")
        lines = content.splitlines(keepends=True)
        if dice.random() < 0.3 and lines:
            what = dice.choice(lines)  # a line again
        content = content[:at] + what + content[at + dice.choice((0, 0, 1, 30)) :]
    return content


def read(path: Path) -> str:
    """Read one case: "read", "refused", or what escaped."""
    from csa.errors import CSAError
    from csa.params.reading import apply_overrides, load_yaml
    from csa.params.schema import Params

    try:
        mapping = load_yaml(path)
        params = Params.from_mapping(mapping, str(path))
        apply_overrides(mapping, ("fit.folds=3",))
        assert Params.from_mapping(params.dump()) == params
    except CSAError as error:
        said = str(error)
        return f"an error of several lines: {said!r}" if "\n" in said else "refused"
    except BaseException:
        return traceback.format_exc()
    return "read"


def main() -> None:
    """Run the cases and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    whole, counts, number, slowest = sound(), Counter[str](), 0, 0.0
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "params.yaml"
    ends = time.monotonic() + 60 * options.minutes
    while time.monotonic() < ends:
        path.write_bytes(case_of(f"{options.seed}:{number}", whole))
        began = time.process_time()
        outcome = read(path)
        seconds = time.process_time() - began
        slowest = max(slowest, seconds)
        if outcome in ("read", "refused") and seconds > SECONDS:
            outcome = f"{seconds:.0f} s"
        if outcome not in ("read", "refused"):
            print(f"case {options.seed}:{number}: {outcome}")
            outcome = "found"
        counts[outcome] += 1
        number += 1
    print(
        f"{number} params files in {options.minutes:g} min, slowest {slowest:.1f} s: {dict(counts)}"
    )
    sys.exit(counts["found"] > 0)


if __name__ == "__main__":
    main()
