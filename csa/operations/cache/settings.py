"""DVC's own settings, read as DVC reads them."""

from pathlib import Path
from typing import Any


def config_of(path: Path) -> Any:
    """A file of DVC's configuration, with absolute paths: DVC reads relative ones from its folder.
    It is read and written as DVC does it, so that a path may hold a comma or a hash.

    Args:
        path: of the file; it need not exist.

    Returns:
        The sections, as configobj has them.
    """
    from configobj import ConfigObj

    config = ConfigObj(str(path) if path.is_file() else None, encoding="utf-8")
    for section in config.sections:
        for key in ("url", "dir"):
            value = config[section].get(key)
            if value is not None and "://" not in value:
                config[section][key] = str((path.parent / value).resolve())
    return config
