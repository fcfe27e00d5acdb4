"""GET from a service's endpoint."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Answer:
    """Status, content type and body."""

    status: int
    content_type: str
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def get(port: int, path: str, *, address: str = "127.0.0.1", accept: str = "*/*") -> Answer:
    """Ask once. Raises OSError when nobody answers within 5 s."""
    connection = HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        return Answer(response.status, response.headers["Content-Type"], response.read().decode())
    finally:
        connection.close()


def samples(text: str) -> dict[str, float]:
    """Every sample of a scrape by its name and labels, such as `x_total{reason="a"}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
