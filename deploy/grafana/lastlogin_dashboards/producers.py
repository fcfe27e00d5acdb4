"""`lastlogin / Producers`: every mail backend, and which one is not like the others."""

from lastlogin_dashboards.backends import BACKENDS, EACH, OUTLIERS, REPLY, TABLE, TILES
from lastlogin_dashboards.board import BACKEND, CLUSTER, Band, Board, row
from lastlogin_dashboards.panels import ASKED, BAD, KAFKA, PRODUCER, RATE, WARN, WORST, Query, graph
from lastlogin_dashboards.promql import quantiles, rate, seen


_HIGH = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))


_ANSWERING = Band(
    8,
    (
        graph(
            "Time to reply",
            "From reading a commit to writing its reply, of all backends chosen. Good is a few milliseconds.",
            "s",
            *quantiles(REPLY, BACKENDS, _HIGH),
        ),
        graph(
            "Refused, by reply",
            "full: the spool has no room. unconfirmed: the disk did not answer in time. Good is no line at all.",
            RATE,
            Query(
                f'sum by (cluster, reply) (rate({REPLY}_count{{reply!="stored",{BACKENDS}}}[$__rate_interval])) > 0',
                "{{reply}} {{cluster}}",
            ),
            no_value="none refused",
        ),
        graph(
            "Logins, by service",
            "What users log in with. A service that vanishes: its part of Dovecot's configuration has changed.",
            RATE,
            seen(rate("lastlogin_producer_logins_total", BACKENDS, "{{service}}", by="cluster, service")),
            stacked=True,
        ),
        graph(
            "Not logins, and logins dropped by a rule",
            "quarantined: Dovecot wrote a key that no pattern fits; they are kept, see the runbook. dropped: a rule of "
            "yours says so. Good is no quarantine, and a steady share dropped.",
            RATE,
            Query(
                f"sum by (cluster, reason) "
                f"(rate(lastlogin_producer_quarantined_total{{{BACKENDS}}}[$__rate_interval])) > 0",
                "quarantined: {{reason}} {{cluster}}",
            ),
            Query(
                f"sum by (cluster, by) (rate(lastlogin_producer_dropped_total{{{BACKENDS}}}[$__rate_interval])) > 0",
                "dropped by {{by}} {{cluster}}",
            ),
            no_value="none",
        ),
    ),
)

_DISK = Band(
    8,
    (
        graph(
            "Time to make a batch durable",
            "Write and fsync of the spool: nearly all of what Dovecot waits for. Good is as always for this disk; a "
            "step up is a disk or its controller.",
            "s",
            *quantiles("lastlogin_producer_spool_sync_seconds", BACKENDS, _HIGH),
        ),
        graph(
            "Messages in a batch",
            "How many logins share one fsync. It grows with the load; that is what keeps replies short.",
            "short",
            Query(
                f"sum by (cluster) (rate(lastlogin_producer_spool_sync_rows_sum{{{BACKENDS}}}[$__rate_interval]))"
                f" / sum by (cluster) (rate(lastlogin_producer_spool_sync_rows_count{{{BACKENDS}}}[$__rate_interval]))",
                "average {{cluster}}",
                PRODUCER,
            ),
        ),
        graph(
            "Spool, by backend",
            "How full each spool is. Good is next to 0 %. At 70 % make room or mend Kafka.",
            "percentunit",
            Query(f"max {EACH} (lastlogin_producer_spool_used_ratio{{{BACKENDS}}})", "{{instance}} {{cluster}}"),
            steps=((None, "transparent"), (0.7, WARN), (1, BAD)),
            most=1,
        ),
        graph(
            "Set aside in spools, and clocks",
            "Messages that cannot be published (kept in the spool's table aside), sockets found removed, and steps "
            "back of clocks. Good is 0 everywhere.",
            "short",
            Query(
                f"sum by (cluster, reason) (lastlogin_producer_spool_set_aside_rows{{{BACKENDS}}}) > 0",
                "set aside: {{reason}} {{cluster}}",
            ),
            Query(
                f"sum by (cluster) "
                f"(increase(lastlogin_producer_dict_socket_lost_total{{{BACKENDS}}}[$__rate_interval])) > 0",
                "socket lost {{cluster}}",
            ),
            Query(
                f"sum by (cluster) "
                f"(increase(lastlogin_producer_clock_regressions_total{{{BACKENDS}}}[$__rate_interval])) > 0",
                "clock stepped back {{cluster}}",
            ),
            no_value="none",
        ),
    ),
)

_KAFKA = Band(
    8,
    (
        graph(
            "Published to Kafka, by topic",
            "Good is as many as are recorded. More: a spool is being emptied. The quarantine's topic: Writes are "
            "quarantined.",
            RATE,
            seen(rate("lastlogin_producer_kafka_published_total", BACKENDS, "{{topic}}", by="cluster, topic")),
        ),
        graph(
            "Time until Kafka acknowledges",
            "From handing over a batch to the acknowledgement of all replicas in sync. Good is tens of milliseconds.",
            "s",
            *quantiles("lastlogin_producer_kafka_publish_seconds", f'outcome="acknowledged",{BACKENDS}', _HIGH),
        ),
        graph(
            "Publishing fails",
            "Batches that Kafka did not take; they are tried again, nothing is lost. Good is no line.",
            RATE,
            Query(
                "sum by (cluster, outcome) (rate(lastlogin_producer_kafka_publish_seconds_count"
                f'{{outcome!="acknowledged",{BACKENDS}}}[$__rate_interval])) > 0',
                "{{outcome}} {{cluster}}",
                BAD,
            ),
            no_value="none",
        ),
        graph(
            "On the way to Kafka",
            "Waiting in spools, handed over but not acknowledged, and resent by an operator. Good is some of a "
            "second's logins.",
            "short",
            Query(f"sum by (cluster) (lastlogin_producer_spool_rows{{{BACKENDS}}})", "in spools {{cluster}}", PRODUCER),
            Query(
                f"sum by (cluster) (lastlogin_producer_kafka_in_flight_rows{{{BACKENDS}}})",
                "in flight {{cluster}}",
                KAFKA,
            ),
            Query(
                f"sum by (cluster) "
                f"(increase(lastlogin_producer_spool_resent_rows_total{{{BACKENDS}}}[$__rate_interval])) > 0",
                "resent {{cluster}}",
                ASKED,
            ),
        ),
    ),
)

_CLIENTS = Band(
    8,
    (
        graph(
            "Connections of Dovecot",
            "Open now, and made per second. Dovecot keeps a connection for each login process; many new ones each "
            "second cost time, but no login.",
            "short",
            Query(
                f"sum by (cluster) (lastlogin_producer_dict_connections{{{BACKENDS}}})", "open {{cluster}}", PRODUCER
            ),
            Query(
                f"sum by (cluster) "
                f"(rate(lastlogin_producer_dict_connections_accepted_total{{{BACKENDS}}}[$__rate_interval]))",
                "made each second {{cluster}}",
                ASKED,
            ),
        ),
        graph(
            "Connections closed, by reason",
            "Good is idle only. Others: something that is not Dovecot connects, or too many do.",
            RATE,
            seen(
                rate("lastlogin_producer_dict_connections_closed_total", BACKENDS, "{{reason}}", by="cluster, reason")
            ),
            no_value="none",
        ),
        graph(
            "Commands refused, by reason",
            "What Dovecot should not have sent. Good is none; `lookup` is Dovecot's own habit when a map is asked.",
            RATE,
            seen(rate("lastlogin_producer_dict_refused_total", BACKENDS, "{{reason}}", by="cluster, reason")),
            no_value="none",
        ),
        graph(
            "CPU of both processes",
            "On the busiest backend, as a share of one core: the process that answers Dovecot, and the one that "
            "publishes. Good is far below the line; at 100 % replies get slow.",
            "percentunit",
            Query(
                f"max by (cluster) "
                f'(rate(process_cpu_seconds_total{{job="lastlogin-producer",{BACKENDS}}}[$__rate_interval]))',
                "answering {{cluster}}",
                PRODUCER,
            ),
            Query(
                f"max by (cluster) "
                f"(rate(lastlogin_producer_outbox_process_cpu_seconds_total{{{BACKENDS}}}[$__rate_interval]))",
                "publishing {{cluster}}",
                KAFKA,
            ),
            steps=((None, "transparent"), (1, WORST)),
        ),
    ),
)

BOARD = Board(
    uid="lastlogin-producers",
    title="lastlogin / Producers",
    description="Every mail backend: does it record, how fast, how much room is left, which is not like the others.",
    variables=(CLUSTER, BACKEND),
    bands=(
        TILES,
        TABLE,
        row("Outliers"),
        OUTLIERS,
        row("Answering Dovecot"),
        _ANSWERING,
        row("Disk"),
        _DISK,
        row("Kafka"),
        _KAFKA,
        row("Clients and processes"),
        _CLIENTS,
    ),
)
