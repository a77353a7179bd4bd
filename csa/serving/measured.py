"""What the server measures of itself, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PATHS = (
    *("/v1/embed", "/v1/score", "/v1/search", "/v1/classify", "/v1/model", "/v1/items"),
    *("/healthz", "/readyz", "/metrics", "/openapi.json", "/"),
)


class Measured:
    """Counts requests; figures that others hold are asked for when somebody looks."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "csa_requests", "Requests answered.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "csa_request_seconds",
            "From a request's first byte to its last.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a figure.

        Args:
            name: in the output.
            meaning: one sentence.
            value: gives it.
        """
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            path: as it was asked for; unknown ones are counted together.
            status: of the answer.
            seconds: it took.
        """
        shown = "/v1/items" if path.startswith("/v1/items/") else path
        shown = shown if shown in _PATHS else "other"
        self._requests.labels(shown, str(status)).inc()
        self._seconds.labels(shown).observe(seconds)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self._registry)
