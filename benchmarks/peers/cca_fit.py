"""Fit canonical correlation analysis with cca-zoo or mvlearn on saved features, once for every line
read; print CPU seconds.

Stands alone: the Python that runs it does not have csa.
"""

import json
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

from importlib import metadata

import numpy as np

library, x_file, y_file, components = sys.argv[1:]
if library == "cca-zoo":
    from cca_zoo.linear import CCA
else:
    from mvlearn.embed import CCA

views = [np.load(x_file), np.load(y_file)]
print(
    json.dumps(
        {name: metadata.version(name) for name in (library, "numpy", "scipy", "scikit-learn")}
    ),
    flush=True,
)
for _ in sys.stdin:
    start = time.process_time()
    CCA(n_components=int(components)).fit(views)
    print(time.process_time() - start, flush=True)
