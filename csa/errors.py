"""The errors this package raises on purpose; anything else that escapes is a bug.

CSAError
├── InputError (also ValueError)    what the caller gave is unusable
│   ├── ParamsError                 params.yaml, a recipe or a --set
│   ├── DataError                   a data set, its pairs table or an item in it
│   ├── FeatureError                arrays of features
│   └── EncoderError                an encoder's name, files or options
├── ArtifactError (also ValueError) a file this package wrote is damaged, edited or of another kind
├── RefusedError                    a check or a gate said no: an answer, not a fault; exit code 1
├── StageError                      a stage of the pipeline failed; the message is the stage's own
└── WorkspaceError                  the workspace, its state folder or a tool it calls is not usable
    └── RegistryError               MLflow does not answer, or cannot read or write its store

Every message is one line: what is wrong, what was got, the likely cause, and the remedy. Commands
print it to standard error and exit with code 2, or 1 where the answer is no.
"""

import re

from csa.masking import masked

_LONG = re.compile(r"(\S{200})\S{4800,}")


class CSAError(Exception):
    """Base of every error that CSA raises on purpose. Addresses in its words are masked, so no
    password gets into a log, and a word of more than 5,000 letters is cut: it is data, no name.
    """

    def __init__(self, *words: object) -> None:
        super().__init__(*(_shown(word) if isinstance(word, str) else word for word in words))


def _shown(words: str) -> str:
    return _LONG.sub(r"\1…", masked(words))


class InputError(CSAError, ValueError):
    """What the caller gave is unusable."""


class ParamsError(InputError):
    """A parameter is unknown, missing or of the wrong type."""


class DataError(InputError):
    """A data set, its pairs table or one of its items is unusable."""


class FeatureError(InputError):
    """Feature arrays are unusable: shapes, NaN, constant, too few."""


class EncoderError(InputError):
    """An encoder cannot be found, loaded or used as asked."""


class ArtifactError(CSAError, ValueError):
    """A file that CSA wrote is damaged, was edited, or is of another kind."""


class RefusedError(CSAError):
    """A check or a gate said no."""


class StageError(CSAError):
    """A stage of the pipeline failed."""


class WorkspaceError(CSAError):
    """The workspace, its state folder or a tool it calls cannot be used."""


class RegistryError(WorkspaceError):
    """MLflow does not answer, or cannot read or write its store."""
