"""A fit as a folder that sentence-transformers loads."""

import shutil
from pathlib import Path
from typing import Any

from csa.operations.registry.logged_model import carry_weights
from csa.operations.registry.packing import pack_code
from csa.operations.registry.requirements import requirements
from csa.questions.opened import Fitted
from csa.storage.files import write_atomic, write_json

_MODULE = "csa_module"


def write_embedding_model(fitted: Fitted, folder: Path, with_weights: bool) -> dict[str, Any]:
    """Write a folder that `SentenceTransformer(folder, trust_remote_code=True)` loads: one module,
    the code it needs, the fit, and a card.

    Args:
        fitted: the workspace.
        folder: where to; it is empty.
        with_weights: whether the encoders' files are copied into it.

    Returns:
        What was written.

    Raises:
        EncoderError: an encoder's files cannot be carried.
    """
    inner = folder / "0_CSA"
    inner.mkdir(parents=True)
    if with_weights:
        carry_weights(fitted.scorer, inner)
    fitted.scorer.write(inner)
    pack_code(inner / "csa.zip")
    shutil.copyfile(Path(__file__).with_name(f"{_MODULE}.py"), folder / f"{_MODULE}.py")
    module = {"idx": 0, "name": "0", "path": inner.name, "type": f"{_MODULE}.CSAModule"}
    write_json(folder / "modules.json", [module])
    settings = {"model_type": "SentenceTransformer", "similarity_fn_name": "dot", "prompts": {}}
    write_json(folder / "config_sentence_transformers.json", settings)
    needed = [*requirements(fitted.params.views), "sentence-transformers>=6.2,<7"]
    write_atomic(folder / "requirements.txt", ("\n".join(needed) + "\n").encode())
    write_atomic(folder / "README.md", _card(fitted).encode())
    return {"views": {name: view.modality for name, view in fitted.scorer.views.items()}}


def _card(fitted: Fitted) -> str:
    """A card as the Hub reads it."""
    views = fitted.scorer.views
    encoders = ", ".join(f"{name}: {view.params.encoder_names}" for name, view in views.items())
    facts = "\n".join(
        f"- **{name}**: {text}" for name, text in fitted.scorer.alignment.facts().items()
    )
    licence = fitted.params.card.licence
    words = [fitted.params.card.intended_use, fitted.params.card.limits, fitted.params.card.contact]
    said = "\n\n".join(word for word in words if word)
    return (
        "---\nlibrary_name: sentence-transformers\npipeline_tag: feature-extraction\n"
        "tags: [sentence-transformers, canonical-similarity-analysis, multimodal]\n"
        + ("license: other\n" if licence else "")
        + f"---\n\n# {fitted.params.model.name}\n\n"
        f"Two frozen encoders ({encoders}) in one space, by canonical similarity analysis "
        "(ICLR 2025, arXiv 2410.07610).\n\n"
        + (f"{said}\n\n" if said else "")
        + (f"Licence: {licence}\n\n" if licence else "")
        + "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        "model = SentenceTransformer(FOLDER, trust_remote_code=True)\n"
        "similarities = model.similarity(model.encode(pictures), model.encode(texts))\n```\n\n"
        f"{facts}\n"
    )
