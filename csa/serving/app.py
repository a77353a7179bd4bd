"""The routes: a page, an API with OpenAPI, and what operators ask."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

import csa
from csa.errors import CSAError, InputError
from csa.masking import masked
from csa.serving import answers, asked, items
from csa.serving.following import Follower
from csa.serving.guard import Door, Guard
from csa.serving.measured import Measured

_PAGE = Path(__file__).with_name("page")
_FILES = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_NO_JSON = "the body is no JSON that can be read"
_log = logging.getLogger("csa.serving")


def application(follower: Follower, door: Door) -> Guard:
    """The whole server as an ASGI application.

    Args:
        follower: holds the version that answers.
        door: what is let in.

    Returns:
        The application.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = door.at_once
        yield
        follower.end()

    app = FastAPI(
        title="csa serve",
        version=csa.__version__,
        docs_url=None,  # its page asks another site for code
        redoc_url=None,
        lifespan=living,
        description="Raw items or features in; scores, vectors, results and labels out.",
    )
    measured = Measured()
    _measure(measured, follower)
    _api(app, follower)
    _gallery(app, follower)
    _operators(app, follower, measured)
    _errors(app)
    return Guard(app, door, measured)


def _api(app: FastAPI, follower: Follower) -> None:
    @app.post("/v1/embed")
    def embed(given: asked.Embed) -> JSONResponse:
        """Index vectors of items: inner products across views are the scores."""
        return JSONResponse(answers.embed(follower.now, given))

    @app.post("/v1/score")
    def score(given: asked.Score) -> JSONResponse:
        """How well pairs belong together, with p-values and verdicts."""
        return JSONResponse(answers.score(follower.now, given))

    @app.post("/v1/search")
    def search(given: asked.Search) -> JSONResponse:
        """What of the gallery belongs to an item, or is like one of the gallery."""
        return JSONResponse(answers.search(follower.now, given))

    @app.post("/v1/classify")
    def classify(given: asked.Classify) -> JSONResponse:
        """Labels of one's own for items, with the conformal set."""
        return JSONResponse(answers.classify(follower.now, given))

    @app.get("/v1/model")
    def model() -> JSONResponse:
        """Which version answers, and how good it is."""
        return JSONResponse(follower.now.about())


def _gallery(app: FastAPI, follower: Follower) -> None:
    def kept(request: Request, view: str, pair: str, make: Callable[..., bytes]) -> Response:
        now = follower.now
        headers = {"ETag": items.tag(now, view, pair), "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        kind = "image/jpeg" if make is items.picture else "application/octet-stream"
        return Response(make(now, view, pair), media_type=kind, headers=headers)

    @app.get("/v1/items/{view}/picture/{pair:path}")
    def picture(request: Request, view: str, pair: str) -> Response:
        """A small picture of an item of the gallery."""
        return kept(request, view, pair, items.picture)

    @app.get("/v1/items/{view}/sound/{pair:path}")
    def sound(request: Request, view: str, pair: str) -> Response:
        """A sound of the gallery."""
        return kept(request, view, pair, items.sound)


def _operators(app: FastAPI, follower: Follower, measured: Measured) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        """The process answers."""
        return {"alive": True}

    @app.get("/readyz")
    async def readyz(request: Request) -> dict[str, Any]:
        """A version answers; why its alias cannot be followed at the moment, if so."""
        trouble = follower.trouble
        told = {"ready": True, "version": follower.now.number, "following": trouble is None}
        return told | ({"trouble": trouble} if request.scope["authorized"] else {})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(measured.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    @app.get("/{name}", include_in_schema=False)
    async def page(name: str = "") -> Response:
        if name not in _FILES:
            raise HTTPException(404)
        return FileResponse(_PAGE / _FILES[name], headers={"Cache-Control": "no-cache"})


def _errors(app: FastAPI) -> None:
    """One clear sentence in JSON, with the right status."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return _error(400, _NO_JSON)
        place = ".".join(str(part) for part in first["loc"][1:])
        said = str(first["msg"]).removeprefix("Value error, ")
        if "json" not in request.headers.get("content-type", ""):
            said = "send the body as JSON, with the header Content-Type: application/json"
        said = f"{place[:200]}: {said}" if place else said
        return _error(422, f"{said}; /openapi.json says what is taken")

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        said = {
            404: "there is nothing here; /openapi.json says what there is",
            405: f"{request.method} is not what this takes; /openapi.json says what is",
            400: _NO_JSON,
        }
        return _error(error.status_code, said.get(error.status_code, str(error.detail)))

    @app.exception_handler(CSAError)
    async def ours(request: Request, error: CSAError) -> JSONResponse:
        return _error(422 if isinstance(error, InputError) else 503, " ".join(str(error).split()))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s failed", request.url.path, exc_info=error)
        return _error(500, "this is a fault of the server, and its log says which")


def _error(status: int, said: str) -> JSONResponse:
    return JSONResponse({"error": masked(said[:2000])}, status)


def _measure(measured: Measured, follower: Follower) -> None:
    def of_encoders(what: str) -> Callable[[], float]:
        return lambda: sum(getattr(one, what) for one in follower.now.encoders.values())

    measured.gauge("csa_version", "The version that answers.", lambda: follower.now.number)
    measured.gauge(
        "csa_following", "1 where the alias can be followed.", lambda: follower.trouble is None
    )
    measured.gauge("csa_taken_over", "Versions taken over.", lambda: follower.taken_over)
    measured.gauge("csa_encoder_passes", "Encoder passes.", of_encoders("passes"))
    measured.gauge("csa_encoder_items", "Items encoded.", of_encoders("items"))
