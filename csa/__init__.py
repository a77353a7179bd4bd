"""Canonical Similarity Analysis: two frozen unimodal encoders as one multimodal model.

The paper: Li, Chinchali & Topcu, "CSA: Data-efficient Mapping of Unimodal Features to Multimodal
Features", ICLR 2025, arXiv 2410.07610.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csa.core.alignment import Alignment, load
    from csa.core.bridge import LabelBridge
    from csa.core.estimator import CSA
    from csa.core.moments import Moments
    from csa.errors import CSAError
    from csa.multiview.any_to_any import AnyToAny
    from csa.multiview.gcca import GCCA

__version__ = "0.2.0"
__all__ = [
    "CSA",
    "GCCA",
    "Alignment",
    "AnyToAny",
    "CSAError",
    "LabelBridge",
    "Moments",
    "__version__",
    "load",
]

# Imported when asked for: a command that computes nothing need not wait for scipy.
_HOME = {
    "Alignment": "csa.core.alignment",
    "AnyToAny": "csa.multiview.any_to_any",
    "CSA": "csa.core.estimator",
    "CSAError": "csa.errors",
    "GCCA": "csa.multiview.gcca",
    "LabelBridge": "csa.core.bridge",
    "Moments": "csa.core.moments",
    "load": "csa.core.alignment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'csa' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
