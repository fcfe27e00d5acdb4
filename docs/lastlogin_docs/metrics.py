"""`docs/metrics.md`: every metric of every service, asked from the classes that make them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from lastlogin_consumer.metrics import PREFIX as CONSUMER
from lastlogin_consumer.metrics import ConsumerMetrics
from lastlogin_ops.audit.metrics import PREFIX as AUDIT
from lastlogin_ops.audit.metrics import AuditMetrics
from lastlogin_producer.metrics import PREFIX as PRODUCER
from lastlogin_producer.metrics import ProducerMetrics
from lastlogin_service.endpoint import new_registry


# By the prefix of a service's metrics: what adds them to a registry.
SERVICES: Mapping[str, Callable[[CollectorRegistry], object]] = {
    PRODUCER: ProducerMetrics,
    CONSUMER: ConsumerMetrics,
}

# Labels whose values depend on the configuration or the version; those of all others are listed.
_OPEN_LABELS = frozenset({"topic", "partition", "version"})
# Parts of a histogram's own.
_OWN_LABELS = frozenset({"le"})

_INTRODUCTION = """\
# Metrics

Written by `make docs` from the code; do not edit.

Each service serves three paths on one address, `[metrics]` in its settings:

| service | address unless set | `/metrics` | `/livez` | `/readyz` |
|---|---|---|---|---|
| lastlogin-producer | `127.0.0.1:9468` | for Prometheus | 503: restart it | 503: logins are not taken on |
| lastlogin-consumer | `127.0.0.1:9469` | for Prometheus | 503: restart it | 503: rows are not written |

Both health paths answer with JSON, and with sentences in `reasons` when something is wrong. systemd's watchdog is fed
for as long as `/livez` answers 200. A producer is not ready when its disk or its second process has not answered for
2 s, and not alive after 60 s. It is ready without Kafka: its spool takes the logins meanwhile. That Cassandra is away
the running consumer notices by the first row that it cannot write: until a login comes it stays ready.

What to look at first:

- `lastlogin_producer_ready` is 1; else logins are not taken on, and `/readyz` says why.
- `rate(lastlogin_producer_logins_total[5m])` by `service`: logins that are recorded. A service of a backend that has
  none while others have some is Dovecot's configuration there.
- `rate(lastlogin_producer_dict_commit_reply_seconds_count{reply!="stored"}[5m])` should be 0: each one is a login that
  is not recorded, or perhaps not.
- `lastlogin_producer_spool_oldest_age_seconds` grows while Kafka takes nothing; it is a fraction of a second else.
- `lastlogin_producer_spool_used_ratio`: at 1 logins are refused, that is, no longer recorded.
- `lastlogin_producer_spool_sync_seconds`: how fast the disk is that each login waits for.
- `lastlogin_producer_clock_seconds - timestamp(lastlogin_producer_clock_seconds)`: by how much a backend's clock is
  ahead of Prometheus's. Logins of one that is behind lose; of one that is 5 minutes ahead they are set aside.
- `lastlogin_producer_quarantined_total` grows when Dovecot writes keys that no pattern of `[dicts]` fits.
- `lastlogin_consumer_lag_seconds`: how old the oldest login is that the table does not show yet; it grows while
  Cassandra takes nothing, and is 0 when all is written.
- `lastlogin_consumer_end_to_end_seconds`: from the login to its row.
- `lastlogin_consumer_dead_letters_total` grows when a record cannot be used; it is kept, with the reason.

The least that Prometheus needs, running on the same host:

```yaml
scrape_configs:
  - job_name: lastlogin-producer
    static_configs:
      - targets: ["127.0.0.1:9468"]
  - job_name: lastlogin-consumer
    static_configs:
      - targets: ["127.0.0.1:9469"]
```

Rules and dashboards go by the names of these jobs, and by a label `cluster` where there are several platforms
([alerts](alerts.md#install)).

No label ever names a user or an address, so the number of series does not grow with the number of users. Beside the
metrics below each service has those of the Prometheus client about its process: `process_cpu_seconds_total`,
`process_resident_memory_bytes`, `process_open_fds`, `process_start_time_seconds` and the like, and `python_info`. The
producer is two processes; those of the other one have `outbox_process_` behind the producer's prefix.
"""

_AUDIT = """
## lastlogin audit

`lastlogin audit --metrics-file FILE` writes these for the textfile collector of Prometheus's node_exporter
([the audit](operations.md#the-audit)). After an audit that could not judge, and before the first that could, only the
exit code is new: an alert on the age of the timestamp, or on its absence, tells that audits fail.
"""


def page() -> str:
    """Text of the page."""
    services = "".join(
        f"\n## {prefix.replace('_', '-')}\n{_table(prefix, add, new_registry(prefix, ''))}"
        for prefix, add in SERVICES.items()
    )
    return _INTRODUCTION + services + _AUDIT + _table(AUDIT, AuditMetrics, CollectorRegistry())


def _table(prefix: str, add: Callable[[CollectorRegistry], object], registry: CollectorRegistry) -> str:
    add(registry)
    declared = _declared_labels(registry)
    own = sorted((metric for metric in registry.collect() if metric.name.startswith(prefix)), key=_exposed_name)
    rows = "".join(
        f"| `{_exposed_name(metric)}` | {metric.type} | {', '.join(_labels(metric, declared.get(metric.name, ())))} "
        f"| {metric.documentation}{_buckets(metric)} |\n"
        for metric in own
    )
    return f"\n| name | type | labels | |\n|---|---|---|---|\n{rows}"


def _exposed_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def _buckets(metric: Metric) -> str:
    bounds = dict.fromkeys(sample.labels["le"] for sample in metric.samples if "le" in sample.labels)
    return f" Buckets: {', '.join(f'{float(bound):g}' for bound in bounds if bound != '+Inf')}." if bounds else ""


def _declared_labels(registry: CollectorRegistry) -> dict[str, tuple[str, ...]]:
    """Labels by metric, of those that have no sample yet, too; the client has no public way to ask."""
    collectors = [vars(each) for each in registry._collector_to_names]  # noqa: SLF001
    return {own["_name"]: tuple(own["_labelnames"]) for own in collectors if "_labelnames" in own}


def _labels(metric: Metric, declared: Iterable[str]) -> Iterator[str]:
    # A family that is made for each scrape declares its own.
    values: dict[str, set[str]] = {name: set() for name in (*declared, *getattr(metric, "_labelnames", ()))}
    for sample in metric.samples:
        for name, value in sample.labels.items():
            values.setdefault(name, set()).add(value)
    for name in sorted(values.keys() - _OWN_LABELS):
        closed = "" if name in _OPEN_LABELS else f": {', '.join(sorted(values[name]))}"
        yield f"`{name}`{closed}"
