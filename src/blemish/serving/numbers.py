"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from blemish.inspection import Failure
from blemish.serving.records import StoredInspection
from blemish.serving.service import Service


class Numbers:
    """What `/metrics` tells."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.images = Counter(
            "blemish_images",
            "Images by verdict: normal, defective, unknown, refused.",
            ["verdict"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "blemish_request_seconds", "From the request to its answer, of inspections.", registry=self.registry
        )
        waiting = Gauge("blemish_images_waiting", "Images in the queue.", registry=self.registry)
        waiting.set_function(lambda: service.waiting)

    def count(self, results: list[StoredInspection | Failure]) -> None:
        """Take in what a request was answered."""
        for one in results:
            verdict = "refused" if isinstance(one, Failure) else one.result["verdict"].removesuffix(" product")
            self.images.labels(verdict).inc()
