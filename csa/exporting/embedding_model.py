"""A fit as a folder that sentence-transformers loads."""

import shutil
from pathlib import Path
from typing import Any

from csa.core.alignment import Alignment
from csa.errors import EncoderError
from csa.exporting.card import check_licence, head_of_card
from csa.exporting.plain_modules import linear_fit, not_linear, plain_model
from csa.operations.registry.logged_model import carry_weights
from csa.operations.registry.packing import pack_code
from csa.operations.registry.requirements import requirements
from csa.params.schema import Params
from csa.questions.opened import Fitted
from csa.storage.files import write_atomic, write_json

_MODULE = "csa_module"
_LIBRARY = "sentence-transformers>=6.2,<7"


def write_embedding_model(fitted: Fitted, folder: Path, linear: bool = False) -> dict[str, Any]:
    """Write a folder that sentence-transformers loads, with a card. Nothing in it is a pickle.

    Where the fit is linear with the canonical score, and sentence-transformers has modules for its
    encoders, it is made of those, with the encoders' weights. Else it is one module of ours, the
    code that this needs, and the fit; it is loaded with `trust_remote_code=True`, and the encoders'
    files are copied where `model.with_weights` says so.

    Args:
        fitted: a workspace that was run.
        folder: where to.
        linear: whether a fit that is not linear is made anew so, on the same training pairs.

    Returns:
        What was written: the modality of each view, whether of plain modules, or why not; and what
        a linear fit costs where one was made.

    Raises:
        EncoderError: an encoder's files cannot be carried; with `linear`, sentence-transformers has
            no modules for an encoder.
    """
    told: dict[str, Any] = {"views": {name: v.modality for name, v in fitted.scorer.views.items()}}
    alignment, because = fitted.alignment, not_linear(fitted.alignment)
    if because is not None and linear:
        alignment, told["price"] = linear_fit(fitted)
        because = None
    if because is None:
        try:
            model = plain_model(fitted, alignment)
        except EncoderError as error:
            if linear:
                raise
            because = str(error)
    if because is None:
        model.save(str(folder), create_model_card=False)
        needed = ["pillow>=12", _LIBRARY]
    else:
        _write_our_module(fitted, folder)
        needed = [*requirements(fitted.params.views), _LIBRARY]
    write_atomic(folder / "requirements.txt", ("\n".join(needed) + "\n").encode())
    write_atomic(folder / "README.md", _card(fitted, alignment, because is None).encode())
    return told | ({"plain": True} if because is None else {"plain": False, "because": because})


def _write_our_module(fitted: Fitted, folder: Path) -> None:
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


def write_repository(fitted: Fitted, folder: Path, linear: bool = False) -> dict[str, Any]:
    """Write `write_embedding_model`'s folder as a repository for the Hub: with a licence, and large
    files for Git LFS.

    Args:
        fitted: a workspace that was run.
        folder: where to.
        linear: see `write_embedding_model`.

    Returns:
        As `write_embedding_model`.

    Raises:
        EncoderError: as `write_embedding_model`.
        InputError: params.yaml names no licence.
    """
    check_licence(fitted)
    told = write_embedding_model(fitted, folder, linear)
    lfs = "".join(
        f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in ("safetensors", "zip")
    )
    write_atomic(folder / ".gitattributes", lfs.encode())
    return told


def _card(fitted: Fitted, alignment: Alignment, plain: bool) -> str:
    """A card as the Hub reads it."""
    params, views = fitted.params, fitted.scorer.views
    encoders = ", ".join(f"{name}: {view.params.encoder_names}" for name, view in views.items())
    facts = [f"- **{name}**: {said}" for name, said in alignment.facts().items()]
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
                f"model = SentenceTransformer(FOLDER{'' if plain else ', trust_remote_code=True'})",
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
