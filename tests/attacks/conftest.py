"""What the attacks begin with: a team that shares."""

import pytest
from team import Team


@pytest.fixture(scope="session")
def team(tmp_path_factory):
    return Team(tmp_path_factory.mktemp("team"))
