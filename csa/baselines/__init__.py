"""What CSA is compared with, behind the same interface: fit, index_vectors, similarity,
score_pairs.
"""

from csa.baselines.asif import ASIF
from csa.baselines.plain_cca import PlainCCA
from csa.baselines.procrustes import Procrustes
from csa.baselines.raw_cosine import RawCosine
from csa.baselines.ridge_map import RidgeMap

__all__ = ["ASIF", "PlainCCA", "Procrustes", "RawCosine", "RidgeMap"]
