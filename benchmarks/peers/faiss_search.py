"""Search saved vectors with FAISS, flat or HNSW, once for every line read; print CPU seconds,
and save the rows found.
"""

import json
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import numpy as np

kind, queries_file, gallery_file, k, found_file = sys.argv[1:]
faiss.omp_set_num_threads(1)
queries, gallery = np.load(queries_file), np.load(gallery_file)
d = gallery.shape[1]
index = (
    faiss.IndexFlatIP(d)
    if kind == "flat"
    else faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
)
start = time.process_time()
if kind != "flat":
    index.hnsw.efConstruction, index.hnsw.efSearch = 100, 128
index.add(gallery)
print(
    json.dumps(
        {
            "faiss-cpu": faiss.__version__,
            "numpy": np.__version__,
            "build_seconds": time.process_time() - start,
        }
    ),
    flush=True,
)
for _ in sys.stdin:
    start = time.process_time()
    found = index.search(queries, int(k))[1]
    print(time.process_time() - start, flush=True)
    np.save(found_file, found)
