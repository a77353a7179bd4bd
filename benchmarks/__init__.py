"""Claims as scripts: each measures one promise against a peer and writes
benchmarks/results/<name>.json.

One thread: fixed here, because libraries read it when they are first imported.
"""

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
