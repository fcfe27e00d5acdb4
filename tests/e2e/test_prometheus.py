"""What a real Prometheus, with the configuration and the rules that we ship, sees of both services and of an outage."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from lastlogin_schemas.topics import EVENTS
from lastlogin_stack.layout import Layout
from lastlogin_stack.prometheus import RULES, SHIPPED, Prometheus
from lastlogin_stack.recording import STEP_S, Stretch, recorded
from tests.support.dict_client import Load
from tests.support.process import halted, wait_until
from tests.support.servers import Running


_JOBS = {"lastlogin-producer", "lastlogin-consumer"}
_PAGES = {"LastLoginNothingWritten", "LastLoginSLOFastBurn"}
# Of the services, not those that the command `lastlogin audit` writes into a file.
_METRIC = re.compile(r"\b(?:lastlogin_(?:producer|consumer)_\w+|process_\w+)")


@pytest.fixture
def prometheus(pipeline: Layout) -> Iterator[Prometheus]:
    """Prometheus beside the others, which all answer; it remembers nothing."""
    server = Prometheus(pipeline)
    shutil.rmtree(server.directory, ignore_errors=True)
    server.start()
    server.wait_ready()
    yield server
    server.stop()


def _values(prometheus: Prometheus, query: str) -> dict[str, float]:
    """What a query finds, by job."""
    found = prometheus.ask("query", query=query)["result"]
    return {each["metric"]["job"]: float(each["value"][1]) for each in found}


def _rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]


def test_prometheus_sees_an_outage_begin_and_end(prometheus: Prometheus, servers: Running) -> None:
    """It scrapes both, knows all that its rules name; while Cassandra hangs it alerts, not at once, until that is over.

    Neither service has more than 300 series and 4 for each partition.
    """
    began = time.time()
    with Load(servers.layout.dict_socket, "prometheus-", pause_s=0.02) as load:
        load.wait_until(lambda load: len(load.acknowledged) >= 100)
        wait_until(lambda: _values(prometheus, "up") == dict.fromkeys(_JOBS, 1.0))
        wait_until(lambda: {"ok"} == {rule["health"] for rule in _rules(prometheus)})

        named = set(_METRIC.findall((SHIPPED / RULES).read_text("utf-8")))
        assert set() == named - set(prometheus.ask("label/__name__/values"))
        assert [] == [rule["name"] for rule in _rules(prometheus) if rule.get("lastError")]
        limits = {"lastlogin-producer": 300, "lastlogin-consumer": 300 + 4 * len(servers.partitions(EVENTS))}
        series = _values(prometheus, "scrape_samples_scraped")
        assert {} == {job: count for job, count in series.items() if count >= limits[job]}
        for port in (servers.layout.producer_metrics_port, servers.layout.consumer_metrics_port):
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read()
            checked = subprocess.run(["promtool", "check", "metrics"], check=True, input=text, capture_output=True)
            assert b"" == checked.stdout + checked.stderr

        wait_until(lambda: _PAGES & prometheus.alerts() == set())
        with halted(servers.cassandra.process.pid() or 0):
            wait_until(lambda: _PAGES & prometheus.alerts(alertstate="pending") != set())
            wait_until(lambda: prometheus.alerts(alertstate="firing", severity="page") >= _PAGES)
        wait_until(lambda: _PAGES & prometheus.alerts() == set())
    seen = recorded(prometheus, began, time.time())

    assert {("LastLoginNothingWritten", state) for state in ("pending", "firing")} <= {
        (each.what, each.state) for each in seen.alerts if 0 < each.began < each.ended <= seen.seconds + STEP_S
    }
    assert 0 < seen.most("lag_seconds", Stretch("", 0, seen.seconds)) < seen.seconds
    assert [] == load.other_replies
