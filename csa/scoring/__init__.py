"""A fitted model beside its encoders: raw items in, scores, vectors, labels and verdicts out."""
