"""Which run a workspace's report is of."""

import re
from pathlib import Path


def run_of(file: Path) -> str | None:
    """The run that a report says it is of."""
    if not file.is_file():
        return None
    with file.open(encoding="utf-8") as page:
        found = re.search(r'<meta name="csa-run" content="([0-9a-f]+)">', page.read(2000))
    return found and found[1]
