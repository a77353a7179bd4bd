"""Canonical Similarity Analysis: two frozen unimodal encoders as one multimodal model.

The paper: Li, Chinchali & Topcu, "CSA: Data-efficient Mapping of Unimodal Features to Multimodal Features", ICLR 2025,
arXiv 2410.07610.
"""

from csa.core.alignment import Alignment, load
from csa.core.any_to_any import AnyToAny
from csa.core.estimator import CSA
from csa.core.gcca import GCCA
from csa.core.moments import Moments
from csa.errors import CSAError

__version__ = "0.1.0"
__all__ = ["CSA", "GCCA", "Alignment", "AnyToAny", "CSAError", "Moments", "__version__", "load"]
