"""Made-up results, of every shape that stages write."""

from csa.results.estimate import Estimate, Value
from csa.results.evaluation import (
    AskedPrompts,
    ClassChance,
    ClassificationMetrics,
    DetectionMetrics,
    EvaluationMetrics,
    KnownCounts,
    KnownMismatchMetrics,
    ModelMetrics,
    PairCounts,
    PaperRetrievalMetrics,
    RetrievalMetrics,
    TestCount,
)
from csa.results.fit import FitReport, KeptProfile, Tried, TriedScore
from csa.results.task import (
    AccuracyChance,
    DiscriminantMetrics,
    HalfCounts,
    OutOfContextMetrics,
    OutOfContextTaskMetrics,
    RowCounts,
    RuleMetrics,
    Thresholds,
)

ONE = Estimate(0.125, 0.1, 0.2)
DETECTION = DetectionMetrics(ONE, ONE, ONE)
RETRIEVAL = RetrievalMetrics(
    Estimate(0.1, 0.0, 0.2), Estimate(0.5, 0.4, 0.6), Estimate(1.0, 1.0, 1.0), ONE, ONE, ONE
)
CLASSIFICATION = ClassificationMetrics(
    protocol="in_domain",
    classes=2,
    classes_of_images=2,
    classes_seen_in_training=2,
    images=3,
    prompts=AskedPrompts(["a {label}"], "whole"),
    top_1=ONE,
    top_5=ONE,
    mean_class_top_1=ONE,
    chance=ClassChance(Value(0.5), Value(1.0)),
)
METRICS = EvaluationMetrics(
    evaluation_id="abc",
    pairs=PairCounts(train=5, test=3),
    groups=TestCount(2),
    galleries={"image": 3, "text": 7},
    retrieval={"image_to_text": RETRIEVAL},
    retrieval_paper={"image_to_text": PaperRetrievalMetrics(ONE, ONE, ONE)},
    mismatch=DETECTION,
    mismatch_known=KnownMismatchMetrics(KnownCounts(1, 2), *DETECTION.all),
    classification=CLASSIFICATION,
    baselines={"asif": ModelMetrics({}, {}, DETECTION)},
)
OUT_OF_CONTEXT = OutOfContextTaskMetrics(
    kind="out_of_context",
    rows=RowCounts(8, 1),
    text_similarity="encoder",
    out_of_context=OutOfContextMetrics(
        rows=HalfCounts(4, 3, 1),
        groups=TestCount(3),
        paper=RuleMetrics(Thresholds(None, 0.5), *DETECTION.all, ONE, ONE),
        discriminant=DiscriminantMetrics([1.0, -1.0], *DETECTION.all, ONE, ONE),
        image_alone=DETECTION,
        captions_alone=DETECTION,
        chance=AccuracyChance(Value(0.5)),
    ),
    baselines={},
)
FIT = FitReport(
    pairs=5,
    groups=4,
    score="canonical",
    shrinkage=[0.0, 1.0],
    n_components=2,
    preparation=["raw", "unit"],
    hubness_corrected=False,
    diagnostics={"held_out_mrr": None, "shared_signal": False, "overfit_gap": 0.5},
    tried=Tried(scores=[TriedScore("canonical", None, False, 0.25)]),
    profile=KeptProfile(4, [[0.0], [1.0]], [[[1.0]], [[2.0]]]),
    weights=[0.5, 0.25],
    training_correlations=[0.75, 0.5],
)
