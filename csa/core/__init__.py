"""The mathematics, on numpy and scipy alone (and threadpoolctl, to hold their threads).

matrices ─▶ accumulate ─▶ moments ─▶ solve, routes        features to sums, sums to the canonical
            decomposition preview ─▶ crossfit ─▶ training ─▶ select      what held-out folds say;
            the choice of a recipe clusters ─▶ preparation, scores                features prepared,
            coordinates compared estimator ─▶ alignment                         `csa.CSA` fits, the
            frozen `Alignment` answers block_moments ─▶ joint ─▶ gcca                 three views
            and more: `csa.GCCA` refit ─▶ any_to_any                            a recipe on other
            pairs; `csa.AnyToAny` for views that may be missing neighbours
            do two encoders see the same neighbours? search, index, streams
            exact ranks, vectors for an index, files larger than memory
"""
