"""Reading YAML, laying overrides over it, and explaining what is wrong with it."""

import copy
import difflib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from csa.errors import ParamsError
from csa.params.plain_yaml import parse_yaml
from csa.storage.files import read_text

_SHOWN = 200  # characters of a value in an error


def load_yaml(path: Path) -> Any:
    """Parse one YAML file.

    Raises:
        ParamsError: the file is missing, is not a file, or is not YAML that `parse_yaml` reads.
    """
    return parse_yaml(read_text(path, "a params file or a recipe", ParamsError), str(path))


def apply_overrides(mapping: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Lay values over parameters.

    Args:
        mapping: sections of parameters; not changed.
        overrides: `section.key=value` each, the value as YAML.

    Returns:
        A copy of the mapping with the values in it.

    Raises:
        ParamsError: an override without `=`, one whose value is no YAML, or one that runs through a
            value that is no section.
    """
    result = copy.deepcopy(mapping)
    for override in overrides:
        shown = f"--set {override[:200]!r}"
        dotted, equals, text = override.partition("=")
        if not equals or not dotted:
            raise ParamsError(
                f"{shown}: expected section.key=value, for example --set "
                f"dataset.path=/data/flickr8k"
            )
        value = parse_yaml(text, f"{shown}: the value")
        _lay(result, dotted, value, shown)
    return result


def lay_over(mapping: dict[str, Any], dotted: str, value: Any, source: str) -> dict[str, Any]:
    """Lay one value over parameters.

    Args:
        mapping: sections of parameters; not changed.
        dotted: where, such as `dataset.path`.
        value: plain data.
        source: what errors call it.

    Returns:
        A copy of the mapping with the value in it.

    Raises:
        ParamsError: the way runs through a value that is no section.
    """
    result = copy.deepcopy(mapping)
    _lay(result, dotted, value, source)
    return result


def _lay(mapping: dict[str, Any], dotted: str, value: Any, source: str) -> None:
    *sections, key = dotted.split(".")
    node = mapping
    for section in sections:
        if node.get(section) is None:  # absent, or a section without a line
            node[section] = {}
        node = node[section]
        if not isinstance(node, dict):
            raise ParamsError(f"{source}: {section[:80]!r} is a value, not a section")
    node[key] = value


def explain(error: Any, schema: type[BaseModel]) -> str:
    """One of Pydantic's errors in our words, an unknown key with the nearest one of the schema.

    Args:
        error: an entry of `ValidationError.errors()`.
        schema: what was validated.

    Returns:
        One sentence without a full stop.
    """
    *parents, key = error["loc"] or ("",)
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(key), _valid_keys(parents, schema), n=1, cutoff=0.5)
        return (
            f"unknown key {where!r}; did you mean {nearest[0]!r}?"
            if nearest
            else f"unknown key {where!r}"
        )
    if error["type"] == "missing":
        return f"{where!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    got = repr(error["input"])
    return f"{where!r}: {message}, got {got if len(got) <= _SHOWN else f'{got[:_SHOWN]} …'}"


def _valid_keys(parents: list[str | int], schema: type[BaseModel]) -> list[str]:
    """The keys that the schema knows at a path such as ['dataset', 'split'] or ['views',
    'image'].
    """
    section = schema
    for parent in parents:
        if not isinstance(parent, str) or parent not in section.model_fields:
            continue  # the name of a view: its section is the value type, already entered
        annotation = section.model_fields[parent].annotation
        candidates = [annotation, *get_args(annotation)]
        section = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), section
        )
    return list(section.model_fields)
