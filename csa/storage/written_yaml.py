"""YAML that a program wrote, such as dvc.lock and the entries of DVC's run cache."""

from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str | bytes) -> Any:
    """The value of a text, by libyaml where PyYAML has it: it takes a twentieth of the time that
    PyYAML's own parser does, and refuses what is nested without end.

    What people write is read by `csa.params.plain_yaml`, which is stricter.

    Args:
        text: one document.

    Returns:
        Mappings, lists and plain values.

    Raises:
        yaml.YAMLError: it is no YAML, wants more than plain values, or holds one that there is not,
            such as a 45th day of a month.

    >>> read_yaml("stages: {fit: {cmd: python -m csa.pipeline fit}}")["stages"]["fit"]["cmd"]
    'python -m csa.pipeline fit'
    """
    try:
        return yaml.load(text, Loader=_LOADER)
    except (ValueError, OverflowError, AttributeError, RecursionError) as error:
        raise yaml.YAMLError(f"a value that there is not ({error})") from None
