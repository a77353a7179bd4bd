"""What drift of unpaired items is measured against: a profile of each view's pool."""

from csa.checks.profile import Profile
from csa.core.alignment import Alignment
from csa.pipeline.data import PipelineData


def pool_profiles(data: PipelineData, alignment: Alignment) -> dict[str, Profile]:
    """Profiles of the unpaired items that are there now, in an alignment's coordinates.

    Args:
        data: of a workspace whose stages have run.
        alignment: whose coordinates.

    Returns:
        View -> profile; nothing for a view whose unpaired items the parameters do not name.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    pools = {view: data.unpaired(view) for view in data.params.view_names}
    return {
        view: Profile.of_pool(alignment, items, number)
        for number, (view, items) in enumerate(pools.items())
        if items is not None
    }
