"""Claims as scripts: each measures one promise against a peer and writes benchmarks/results/<name>.json."""
