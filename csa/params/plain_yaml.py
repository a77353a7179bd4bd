"""YAML as parameters need it: plain values, each key once, nothing nested without end.

YAML can do more, and each of it has hurt somebody: of a key that stands twice the last counts
without a word, a few aliases stand for billions of values, 2024-13-45 is a date that there is not.
"""

from typing import Any

import yaml

from csa.errors import ParamsError
from csa.storage.files import plain_words

_MOST_VALUES = 100_000
_MOST_BITS = 1000
_DEEPEST = 50
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """The safe loader; what looks like a date stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in known if tag != _TIMESTAMP]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As PyYAML's, where a value that Python refuses is said with its line."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > _MOST_BITS:
                raise ValueError("a number with too many digits")
            return value
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # PyYAML raises AttributeError for an impossible date
            said = f"{str(node.value)[:40]!r} is no value ({plain_words(error)})"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from None


def parse_yaml(text: str, source: str) -> Any:
    """Parse a text of YAML.

    Args:
        text: one document.
        source: what errors call it.

    Returns:
        Mappings, lists, texts, numbers, booleans and None.

    Raises:
        ParamsError: not YAML, a key that stands twice in one section, a value that there is not,
            nesting too deep, or aliases that stand for too much.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Examined(source).size(node, 0)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        words = " ".join(filter(None, (error.context, error.problem)))
        raise ParamsError(
            f"{source}: not valid YAML: {plain_words(ValueError(words))}{where}"
        ) from None
    except (yaml.YAMLError, TypeError) as error:
        raise ParamsError(f"{source}: not valid YAML: {plain_words(error)}") from None
    except RecursionError:
        raise ParamsError(_too_deep(source)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _too_deep(source: str) -> str:
    return f"{source}: nested more than {_DEEPEST} deep; no parameter is, so write it flatter"


class _Examined:
    """What a document stands for, counted with every alias written out."""

    def __init__(self, source: str) -> None:
        self._source, self._sizes, self._open = source, dict[int, int](), set[int]()

    def size(self, node: yaml.Node, depth: int) -> int:
        """The number of values below a node, itself included."""
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        line = node.start_mark.line + 1
        if id(node) in self._open:
            raise ParamsError(
                f"{self._source}: line {line}: an alias lies inside the part that it stands for"
            )
        if depth > _DEEPEST:
            raise ParamsError(_too_deep(self._source))
        self._open.add(id(node))
        total = 1 + sum(self.size(child, depth + 1) for child in self._children(node))
        self._open.discard(id(node))
        if total > _MOST_VALUES:
            raise ParamsError(
                f"{self._source}: line {line}: its aliases expand to more than {_MOST_VALUES:,} "
                f"values; write the values out"
            )
        self._sizes[id(node)] = total
        return total

    def _children(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            self._refuse_twice(node)
            return [child for pair in node.value for child in pair]
        if isinstance(node, yaml.ScalarNode):
            if "\0" in node.value:
                line = node.start_mark.line + 1
                raise ParamsError(
                    f"{self._source}: line {line}: the text has a NUL character; remove it"
                )
            return []
        return list(node.value)

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # PyYAML refuses it
            line = key.start_mark.line + 1
            if key.value in first:
                raise ParamsError(
                    f"{self._source}: line {line}: `{key.value[:80]}` is there twice (first in "
                    f"line {first[key.value]}); keep one of them"
                )
            first[key.value] = line
