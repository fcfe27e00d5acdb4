"""Upper half of `lastlogin / Producers`: a line for each mail backend, and those that are not like the others."""

from lastlogin_dashboards.board import Band
from lastlogin_dashboards.panels import (
    BAD,
    GOOD,
    RATE,
    WARN,
    Column,
    Query,
    bars,
    graph,
    link,
    override,
    table,
    thresholds,
    tile,
    words,
)
from lastlogin_dashboards.promql import quantile
from lastlogin_dashboards.runbook import RUNBOOK


BACKENDS = 'cluster=~"$cluster",instance=~"$backend"'
REPLY = "lastlogin_producer_dict_commit_reply_seconds"
EACH = "by (cluster, instance)"

_P99 = quantile(0.99, REPLY, BACKENDS, by="cluster, instance", window="5m")
_COMMITS = f"instance:lastlogin_commits:rate5m{{{BACKENDS}}}"
_COMMITS_A_DAY = f"avg_over_time({_COMMITS}[1d])"
_FULLNESS = ((None, GOOD), (0.7, WARN), (0.9, BAD))
_AGE = ((None, GOOD), (5, WARN), (300, BAD))
_NONE = ((None, GOOD), (0.01, BAD))
_FEW = ((None, GOOD), (0.01, WARN))
_REPLY_TIME = ((None, GOOD), (0.1, WARN), (1, BAD))


TILES = Band(
    4,
    (
        tile(
            "Backends recording",
            "Producers that answer Dovecot. Good is all of them; which one does not: the table's column `state`.",
            "none",
            Query(
                f'sum(lastlogin_producer_ready{{{BACKENDS}}} or up{{job="lastlogin-producer",{BACKENDS}}})',
                "ready",
            ),
            Query(f'count(up{{job="lastlogin-producer",{BACKENDS}}})', "of"),
            overrides=[override("ready", {"thresholds": thresholds(((None, BAD), (1, GOOD)))})],
            decimals=0,
        ),
        tile(
            "Logins recorded",
            "Logins answered as stored, all backends. Compare with the same hour of other days.",
            RATE,
            Query(f'sum(rate({REPLY}_count{{reply="stored",{BACKENDS}}}[$__rate_interval]))', "stored"),
            spark=True,
            decimals=1,
        ),
        tile(
            "Refused in 5 minutes",
            'Logins answered with anything but "stored": not recorded, or perhaps not. Good is 0.',
            "short",
            Query(f'sum(increase({REPLY}_count{{reply!="stored",{BACKENDS}}}[5m]))', "refused"),
            steps=_NONE,
            decimals=0,
            links=[link("Logins are refused", f"{RUNBOOK}#logins-are-refused")],
        ),
        tile(
            "Slowest replies (p99)",
            "So long does Dovecot wait for the answer, at the backend where it takes longest. Good is a few "
            "milliseconds: one fsync. Above 0.1 s its disk is slow.",
            "s",
            Query(
                f"max(histogram_quantile(0.99, sum {EACH[:-1]}, le) (rate({REPLY}_bucket{{{BACKENDS}}}[5m]))))",
                "p99",
            ),
            steps=_REPLY_TIME,
            no_value="no logins",
        ),
        tile(
            "Fullest spool",
            "Of rows or bytes, the fuller one, at the backend that has least room left. Good is next to 0 %; at 100 % "
            "it refuses logins.",
            "percentunit",
            Query(f"max(lastlogin_producer_spool_used_ratio{{{BACKENDS}}})", "fullest"),
            steps=_FULLNESS,
            decimals=1,
            links=[link("A spool fills", f"{RUNBOOK}#a-spool-fills")],
        ),
        tile(
            "Oldest in a spool",
            "Age of the oldest message in any spool. Good is below 5 s; when it grows everywhere Kafka is away, on one "
            "backend its network, certificate or rights are.",
            "s",
            Query(f"max(lastlogin_producer_spool_oldest_age_seconds{{{BACKENDS}}})", "oldest"),
            steps=_AGE,
            links=[link("Kafka is away", f"{RUNBOOK}#kafka-is-away")],
        ),
    ),
)

TABLE = Band(
    8,
    (
        table(
            "Backends",
            "A line for each producer, as it is now. Good is green in each column. Click a backend to see only its "
            "graphs below. Refused and quarantined are of the last hour.",
            (
                Column(
                    "instance",
                    width=190,
                    links=[
                        link(
                            "Only this backend",
                            "/d/lastlogin-producers?var-backend=${__value.raw}&${cluster:queryparam}"
                            "&${datasource:queryparam}&${__url_time_range}",
                        )
                    ],
                ),
                Column("cluster", width=100),
                Column(
                    "state",
                    f'max {EACH} (lastlogin_producer_ready{{{BACKENDS}}} or up{{job="lastlogin-producer",{BACKENDS}}})',
                    "none",
                    cell="color-background",
                    mappings=[words((1, "records", GOOD), (0, "does not", BAD))],
                ),
                Column(
                    "logins/s",
                    f'sum {EACH} (rate({REPLY}_count{{reply="stored",{BACKENDS}}}[5m]))',
                    "none",
                    decimals=1,
                    cell="auto",
                ),
                Column(
                    "reply p99",
                    _P99,
                    "s",
                    _REPLY_TIME,
                ),
                Column(
                    "spool rows",
                    f"sum {EACH} (lastlogin_producer_spool_rows{{{BACKENDS}}})",
                    "short",
                    decimals=0,
                    cell="auto",
                ),
                Column(
                    "spool",
                    f"max {EACH} (lastlogin_producer_spool_used_ratio{{{BACKENDS}}})",
                    "percentunit",
                    _FULLNESS,
                    decimals=1,
                    cell="gauge",
                    most=1,
                ),
                Column("oldest", f"max {EACH} (lastlogin_producer_spool_oldest_age_seconds{{{BACKENDS}}})", "s", _AGE),
                Column(
                    "refused",
                    f'sum {EACH} (increase({REPLY}_count{{reply!="stored",{BACKENDS}}}[1h]))',
                    "short",
                    _NONE,
                    decimals=0,
                ),
                Column(
                    "quarantined",
                    f"sum {EACH} (increase(lastlogin_producer_quarantined_total{{{BACKENDS}}}[1h]))",
                    "short",
                    _FEW,
                    decimals=0,
                ),
                Column(
                    "clock skew",
                    f"max {EACH} (lastlogin_producer_clock_seconds{{{BACKENDS}}} - "
                    f"timestamp(lastlogin_producer_clock_seconds{{{BACKENDS}}}))",
                    "s",
                    ((None, BAD), (-5, WARN), (-1, GOOD), (1, WARN), (5, BAD)),
                ),
                Column("version", width=80),
                Column(
                    "build",
                    f"max by (cluster, instance, version) (lastlogin_producer_build_info{{{BACKENDS}}})",
                    hidden=True,
                ),
            ),
        ),
    ),
)

OUTLIERS = Band(
    8,
    (
        bars(
            "Quietest: logins, by their own average",
            "Logins of the last 5 minutes, by the average of a day. 100 % is as always. A backend near 0 % while "
            "others are not: its Dovecot does not write to the producer (a changed configuration, a socket that nobody "
            "may enter), or it is down itself.",
            "percentunit",
            Query(
                f"bottomk(10, ({_COMMITS} or 0 * {_COMMITS_A_DAY}) / ({_COMMITS_A_DAY} > 0))",
                "{{instance}} {{cluster}}",
            ),
            steps=((None, BAD), (0.05, WARN), (0.3, GOOD)),
            most=2,
        ),
        bars(
            "Slowest replies (p99)",
            "Good is bars of about the same length. One that is longer has a slower or a failing disk: dmesg, iostat "
            "-x.",
            "s",
            Query(
                f"topk(10, {_P99} > 0)",
                "{{instance}} {{cluster}}",
            ),
            steps=_REPLY_TIME,
        ),
        graph(
            "Logins recorded, by backend",
            "Good is lines that follow each other through the day. One that falls alone: A backend is silent.",
            RATE,
            Query(
                f'sum {EACH} (rate({REPLY}_count{{reply="stored",{BACKENDS}}}[$__rate_interval]))',
                "{{instance}} {{cluster}}",
            ),
            table=True,
        ),
    ),
    widths=(6, 6, 12),
)
