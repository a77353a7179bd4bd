"""The mathematics, on numpy and scipy alone (and threadpoolctl, to hold their threads).

- matrices, accumulate, moments, streams: features, also larger than memory, to sums
- solve, routes: sums or features to the canonical decomposition
- shrinkage, preview, crossfit, held: what held-out folds say of a shrinkage, and its search
- clusters, preparation, scores, hubness: features prepared, coordinates compared
- training, select: the choice of a recipe
- estimator, alignment, diagnostics: `csa.CSA` fits, the frozen `Alignment` answers
- refit: a recipe on other pairs
- search, index: exact ranks, and vectors for an index
"""
