"""A workspace as the operations see it: opened once, then passed on."""

from functools import cached_property

from csa.operations.registry.registry import Registry
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


class Project:
    """A workspace whose parameters are parsed once and whose registry is opened once, each when
    it is first needed.

    It lives as long as one command or one run: what somebody writes into params.yaml meanwhile
    counts for the next one.

    Attributes:
        ws: where everything lies.
    """

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws

    @cached_property
    def params(self) -> Params:
        """The parameters, as they stood in params.yaml when they were first asked for."""
        return self.ws.params()

    @cached_property
    def registry(self) -> Registry:
        """The model registry; MLflow is opened when the registry is first asked."""
        return Registry(self.ws, self.model)

    @property
    def model(self) -> str:
        """The registered model's name."""
        return self.params.model.name
