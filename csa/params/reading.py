"""Reading YAML, laying overrides over it, and explaining what is wrong with it."""

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from csa.errors import ParamsError


def load_yaml(path: Path) -> Any:
    """Parse one YAML file.

    Raises:
        ParamsError: the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path}: no such file; give the path of a params file or a recipe"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def apply_overrides(mapping: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Lay values over parameters.

    Args:
        mapping: sections of parameters; not changed.
        overrides: `section.key=value` each, the value as YAML.

    Returns:
        A copy of the mapping with the values in it.

    Raises:
        ParamsError: an override without `=`, or one that runs through a value that is no section.
    """
    result: dict[str, Any] = yaml.safe_load(yaml.safe_dump(mapping)) or {}
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals or not dotted:
            raise ParamsError(
                f"--set {override!r}: expected section.key=value, for example --set "
                f"dataset.path=/data/flickr8k"
            )
        *sections, key = dotted.split(".")
        node = result
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ParamsError(f"--set {override!r}: {section!r} is a value, not a section")
        try:
            node[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ParamsError(
                f"--set {override!r}: {text!r} is not a YAML value; quote it"
            ) from None
    return result


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
        nearest = difflib.get_close_matches(str(key), _valid_keys(parents, schema), n=1, cutoff=0)
        return (
            f"unknown key {where!r}; did you mean {nearest[0]!r}?"
            if nearest
            else f"unknown key {where!r}"
        )
    if error["type"] == "missing":
        return f"{where!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where!r}: {message}, got {error['input']!r}"


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
