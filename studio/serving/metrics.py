"""Metrics of the API in Prometheus's format. No key, no prompt and no reply is among them."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from studio.schema.serving import EngineState

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "studio_api_requests",
            "Requests that were answered.",
            ("model", "endpoint", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "studio_api_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("model", "endpoint"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.first = Histogram(
            "studio_api_first_token_seconds",
            "Seconds from a request to the first text of its reply.",
            ("model",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter("studio_api_tokens", "Tokens by kind.", ("model", "kind"), registry=self.registry)
        self.running = Gauge("studio_api_running", "Requests at an engine now.", ("model",), registry=self.registry)
        self.waiting = Gauge("studio_api_waiting", "Requests that wait now.", ("model",), registry=self.registry)
        self.up = Gauge("studio_api_engine_up", "1: the engine is ready.", ("model", "engine"), registry=self.registry)

    def text(self, engines: Callable[[], Iterable[EngineState]]) -> bytes:
        """All metrics, with the states of the engines as they are now."""
        for engine in engines():
            for model in engine.models:
                self.up.labels(model, engine.engine).set(engine.state == "ready")
        return generate_latest(self.registry)
