"""Labels that items may get, and how they are put into words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from csa.core.matrices import Array, Float32, Float64
from csa.errors import InputError
from csa.evaluation.classification import PAPER_TEMPLATE, mean_by_class, prompts_of
from csa.params.base import with_label
from csa.params.measure import PromptParams


@dataclass(frozen=True, eq=False)
class Candidates:
    """Labels that items may get.

    Attributes:
        labels: two or more.
        features: of each, the mean over its prompts, by the other view's encoder, shape (C, q).
    """

    labels: list[str]
    features: Float64

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        prompts: list[list[str]],
        encode: Callable[[list[str]], Array | Float32],
    ) -> "Candidates":
        """Candidates from their prompts.

        Args:
            labels: as many as `prompts` has lists.
            prompts: of each label.
            encode: from texts to features.

        Returns:
            The labels with their features.
        """
        texts = [text for group in prompts for text in group]
        return cls(list(labels), mean_by_class(encode(texts), [len(group) for group in prompts]))


def check_labels(labels: Sequence[str]) -> None:
    """Refuse labels that leave no choice.

    Raises:
        InputError: fewer than two different ones.
    """
    count = len({label.strip() for label in labels if label.strip()})
    if count < 2 or count < len(labels):
        raise InputError(
            f"{len(labels)} labels, {count} of them different and not blank: give two or more "
            f"different ones, each once"
        )


def check_templates(templates: Sequence[str]) -> None:
    """Refuse templates that have no place for a label.

    Raises:
        InputError: one without {label}.
    """
    try:
        for template in templates:
            with_label(template)
    except ValueError as error:
        raise InputError(str(error)) from None


def prompts_for(
    usual: PromptParams, labels: Sequence[str], templates: Sequence[str]
) -> list[list[str]]:
    """The prompts of every label.

    Args:
        usual: how the model puts labels into words.
        labels: the candidates.
        templates: sentences with {label}; none for the usual ones.

    Returns:
        Of each label its prompts.

    Raises:
        InputError: fewer than two different labels, or a template without {label}.
    """
    check_labels(labels)
    check_templates(templates)
    asked = usual.model_copy(update={"templates": list(templates)}) if templates else usual
    return [prompts_of(label, asked, PAPER_TEMPLATE) for label in labels]
