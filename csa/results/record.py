"""The base of every shape: a frozen dataclass that is written as JSON and read back with a check.

The fields of a class are the keys of the file, in the same order. A field whose default is None is
a key that is written only where there is something to say.
"""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Self, cast

from csa.errors import ArtifactError


class Record:
    """A dataclass that is a JSON object."""

    def as_dict(self) -> dict[str, Any]:
        """The JSON object, keys in the order of the fields."""
        return cast("dict[str, Any]", _plain(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON file that CSA wrote.

        Raises:
            ArtifactError: it is missing, is not JSON, or lacks what this shape has.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise ArtifactError(f"{path}: no such file; run `csa run` first") from None
        return cls._parse(content, str(path))

    @classmethod
    def of(cls, value: Any, name: str) -> Self:
        """The record that a JSON object holds.

        Args:
            value: the object, such as one entry of a larger file.
            name: what errors call it.

        Returns:
            The record, its types checked.

        Raises:
            ArtifactError: it lacks what this shape has.
        """
        return cls._parse(json.dumps(value).encode(), name)

    @classmethod
    def _parse(cls, content: bytes, name: str) -> Self:
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_json(content, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "json_invalid":
                raise ArtifactError(
                    f"{name}: damaged (not JSON); delete it and run `csa run` again"
                ) from None
            place = ".".join(map(str, first["loc"])) or "the whole"
            raise ArtifactError(
                f"{name}: damaged, or of another version of csa ({place}: {first['msg']}); delete "
                f"it and run `csa run` again"
            ) from None


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = [(field, getattr(value, field.name)) for field in fields(value)]
        return {
            field.name: _plain(held)
            for field, held in named
            if held is not None or field.default is not None
        }
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    return [_plain(held) for held in value] if isinstance(value, list | tuple) else value
