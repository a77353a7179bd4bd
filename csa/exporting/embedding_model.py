"""A fit as a folder that sentence-transformers loads."""

import shutil
from pathlib import Path
from typing import Any

from csa.exporting.card import check_licence, head_of_card
from csa.operations.registry.logged_model import carry_weights
from csa.operations.registry.packing import pack_code
from csa.operations.registry.requirements import requirements
from csa.params.schema import Params
from csa.questions.opened import Fitted
from csa.storage.files import write_atomic, write_json

_MODULE = "csa_module"


def write_embedding_model(fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write a folder that `SentenceTransformer(folder, trust_remote_code=True)` loads: one module,
    the code that it needs, the fit, and a card. Nothing in it is a pickle.

    Args:
        fitted: a workspace that was run. The encoders' files are copied where its
            `model.with_weights` says so.
        folder: where to.

    Returns:
        What was written: the modality of each view.

    Raises:
        EncoderError: an encoder's files cannot be carried.
    """
    inner = folder / "0_CSA"
    inner.mkdir(parents=True)
    if fitted.params.model.with_weights:
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


def write_repository(fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write `write_embedding_model`'s folder as a repository for the Hub: with a licence, and large
    files for Git LFS.

    Args:
        fitted: a workspace that was run.
        folder: where to.

    Returns:
        As `write_embedding_model`.

    Raises:
        EncoderError: an encoder's files cannot be carried.
        InputError: params.yaml names no licence.
    """
    check_licence(fitted)
    told = write_embedding_model(fitted, folder)
    lfs = "".join(
        f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in ("safetensors", "zip")
    )
    write_atomic(folder / ".gitattributes", lfs.encode())
    return told


def _card(fitted: Fitted) -> str:
    """A card as the Hub reads it."""
    params, views = fitted.params, fitted.scorer.views
    encoders = ", ".join(f"{name}: {view.params.encoder_names}" for name, view in views.items())
    facts = [f"- **{name}**: {said}" for name, said in fitted.alignment.facts().items()]
    parts = [
        f"---\n{head_of_card(fitted).strip()}\n---",
        f"# {params.model.name}",
        f"Two frozen encoders ({encoders}) in one space, by canonical similarity analysis (ICLR "
        f"2025, arXiv 2410.07610).",
        *_said(params),
        "\n".join(
            [
                "```python",
                "from sentence_transformers import SentenceTransformer",
                "",
                "model = SentenceTransformer(FOLDER, trust_remote_code=True)",
                "similarities = model.similarity(model.encode(pictures), model.encode(texts))",
                "```",
            ]
        ),
        "\n".join(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _said(params: Params) -> list[str]:
    """What the people who made it say of it."""
    card = params.card
    licence = f"Licence: {card.licence}" if card.licence else None
    words = (card.intended_use, card.limits, card.contact, licence)
    return [word for word in words if word]
