"""Addresses as they may be shown, stored or sent: without user, password, query and secret paths.

>>> masked("no answer from http://joe:pass@host:5000/hooks/T0KEN?key=1 (refused)")
'no answer from http://host:5000/*** (refused)'
>>> masked("slack://tokenA/tokenB, s3://key:secret@bucket/path?a=b, sqlite:////tmp/mlflow.db")
'slack://***, s3://bucket/path, sqlite:////tmp/mlflow.db'
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The scheme is bounded: a word of 100,000 letters is looked at once, not once for each letter.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,40})://(?P<rest>[^\s'\"<>`|,;)\]}]*)")
_WEB = frozenset({"http", "https"})
_PLACES = frozenset(
    {
        "file",
        "gs",
        "hdfs",
        "mlflow-artifacts",
        "mysql",
        "postgresql",
        "remote",
        "s3",
        "sqlite",
        "ssh",
        "tcp",
        "tls",
        "ws",
        "wss",
    }
)
"""Schemes whose path says where something lies; of others, nothing is known to be no secret."""


def masked(text: str) -> str:
    """A text with every address in it masked.

    Args:
        text: any, such as the words of an error.
    """
    return _ADDRESS.sub(_masked, text)


def masked_all(value: Any) -> Any:
    """Plain data with every address in it masked.

    Args:
        value: what JSON can hold.
    """
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_all(held) for key, held in value.items()}
    return [masked_all(held) for held in value] if isinstance(value, list | tuple) else value


@contextmanager
def masked_errors() -> Iterator[None]:
    """Mask what the block raises, and the errors that this came from, in their place: so whoever
    stores or shows it later, with its traceback, has no secret.
    """
    try:
        yield
    except BaseException as error:
        seen: BaseException | None = error
        while seen is not None:
            seen.args = tuple(masked(one) if isinstance(one, str) else one for one in seen.args)
            seen = seen.__cause__ or seen.__context__
        raise


def place(address: str) -> str:
    """What an address may be called where it is allowed by name: host and port, or the scheme where
    the rest may be a secret.

    >>> place("tcp://10.0.0.5:8786"), place("https://joe:x@hooks.org/T0KEN"), place("slack://a/b")
    ('10.0.0.5:8786', 'hooks.org', 'slack')
    """
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in _WEB | _PLACES:
        return scheme.lower()
    return re.split(r"[/?#]", rest)[0].rpartition("@")[2]


def _masked(found: re.Match[str]) -> str:
    scheme = found["scheme"].rpartition("+")[0] or found["scheme"]
    where = re.split(r"[?#]", found["rest"])[0]
    if scheme.lower() not in _WEB | _PLACES:
        return f"{found['scheme']}://***"
    host, slash, path = where.partition("/")
    host = host.rpartition("@")[2]
    if scheme.lower() in _WEB and path:
        path = "***"
    return f"{found['scheme']}://{host}{slash}{path}"
