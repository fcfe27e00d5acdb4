"""`lastlogin / Consumer and Cassandra`: how events become rows, and what keeps them from it."""

from lastlogin_dashboards.board import CLUSTER, TOPIC, Band, Board, row
from lastlogin_dashboards.panels import (
    ASKED,
    BAD,
    FAILED,
    GOOD,
    KAFKA,
    PRODUCER,
    RATE,
    TABLE,
    WARN,
    WORST,
    Query,
    graph,
    heatmap,
    link,
    override,
    thresholds,
    tile,
    words,
)
from lastlogin_dashboards.promql import CLUSTERS as _C
from lastlogin_dashboards.promql import counted, quantile, quantiles, rate, seen
from lastlogin_dashboards.runbook import RUNBOOK


_T = 'cluster=~"$cluster",topic=~"$topic"'
_WRITE = "lastlogin_consumer_cassandra_write_seconds"
_PARTITION = "{{topic}} {{partition}} {{cluster}}"
_BEHIND = ((None, GOOD), (5, WARN), (300, BAD))
_OUTCOMES = (("acknowledged", TABLE), ("timed_out", WARN), ("refused", BAD), ("failed", FAILED))


_TILES = Band(
    4,
    (
        tile(
            "Consumers",
            "Members of the group that can write, of those that Prometheus knows. Good is all; one is enough for the "
            "table to go on.",
            "none",
            Query(f'sum(lastlogin_consumer_ready{{{_C}}} or 0 * up{{job="lastlogin-consumer",{_C}}})', "ready"),
            Query(f'count(up{{job="lastlogin-consumer",{_C}}})', "of"),
            decimals=0,
            overrides=[override("ready", {"thresholds": thresholds(((None, BAD), (1, GOOD)))})],
        ),
        tile(
            "Behind by",
            "Age of the oldest event in Kafka that is neither written nor set aside. Good is below 5 s. Kafka is away: "
            "what comes meanwhile waits in spools and is not in here, see Producers.",
            "s",
            Query(f"max(lastlogin_consumer_lag_seconds{{{_T}}})", "behind"),
            steps=_BEHIND,
            links=[link("The table is behind", f"{RUNBOOK}#the-table-is-behind")],
        ),
        tile(
            "Events that wait",
            "Records of all partitions that are not done yet. Good is about the logins of a second. Does it fall? Then "
            "wait.",
            "short",
            Query(f"sum(lastlogin_consumer_lag_records{{{_T}}})", "events"),
            spark=True,
            decimals=0,
        ),
        tile(
            "Rows written",
            "Rows that Cassandra acknowledged. 0 while events wait: Nothing is written.",
            RATE,
            Query(f"sum(rate(lastlogin_consumer_rows_written_total{{{_C}}}[$__rate_interval]))", "rows"),
            spark=True,
            decimals=1,
        ),
        tile(
            "Breaker",
            "open: most records of the last minute were bad, so none is set aside and the partition waits. Look at "
            "what is wrong with them before anything else.",
            "none",
            Query(f"max(lastlogin_consumer_breaker_open{{{_C}}})", "breaker"),
            steps=((None, GOOD), (1, BAD)),
            mappings=[words((0, "closed", GOOD), (1, "OPEN", BAD))],
            links=[link("The breaker is open", f"{RUNBOOK}#the-breaker-is-open")],
        ),
        tile(
            "Partitions held",
            "Partitions that wait at a record which cannot be read. Good is 0. Others go on.",
            "none",
            Query(f"sum(lastlogin_consumer_partition_held{{{_T}}})", "held"),
            steps=((None, GOOD), (1, BAD)),
            decimals=0,
            links=[link("A partition cannot be read", f"{RUNBOOK}#a-partition-cannot-be-read")],
        ),
        tile(
            "Dead letters, 1 h",
            "Records that could not be used; they are kept, with the reason. Good is 0.",
            "short",
            Query(counted("lastlogin_consumer_dead_letters_total", _C, 3600), "letters"),
            steps=((None, GOOD), (0.01, WARN)),
            decimals=0,
            links=[link("Dead letters", f"{RUNBOOK}#dead-letters")],
        ),
        tile(
            "Events lost, 1 d",
            "Records that Kafka deleted before they were read: these logins are lost to the table. Good is 0, always.",
            "short",
            Query(counted("lastlogin_consumer_offsets_lost_total", _C, 86_400), "lost"),
            steps=((None, GOOD), (0.01, BAD)),
            decimals=0,
            links=[
                link(
                    "Events were deleted before they were read", f"{RUNBOOK}#events-were-deleted-before-they-were-read"
                )
            ],
        ),
    ),
)

_LAG = Band(
    9,
    (
        graph(
            "Behind by, each partition",
            "Good is all below 5 s. All high: the table is not written. One alone: it is held, or its leader is away.",
            "s",
            Query(f"max by (cluster, topic, partition) (lastlogin_consumer_lag_seconds{{{_T}}})", _PARTITION),
            steps=((None, "transparent"), (5, WARN)),
        ),
        graph(
            "Events that wait, each partition",
            "Good is about the same few in each. One far above the others: it is held, or one user logs in all the "
            "time.",
            "short",
            Query(f"max by (cluster, topic, partition) (lastlogin_consumer_lag_records{{{_T}}})", _PARTITION),
            stacked=True,
        ),
        graph(
            "Progress of each partition",
            "Offsets done each second, up to which all is written or set aside. A line at 0 while others go on: that "
            "partition stands.",
            RATE,
            Query(
                "max by (cluster, topic, partition) "
                f"(clamp_min(deriv(lastlogin_consumer_watermark_offset{{{_T}}}[$__rate_interval]), 0))",
                _PARTITION,
            ),
        ),
    ),
)

_GROUP = Band(
    7,
    (
        graph(
            "Partitions of each member",
            "Who has how many; together the topic's 12. Less for more than half a minute: a member has died.",
            "short",
            Query(
                f"sum by (cluster, instance) (lastlogin_consumer_assigned_partitions{{{_C}}})",
                "{{instance}} {{cluster}}",
            ),
            stacked=True,
        ),
        graph(
            "Rebalances",
            "Partitions given up and given out anew. Good is none but at restarts; many: members time out, see their "
            "logs.",
            "short",
            Query(
                f"sum by (cluster) (increase(lastlogin_consumer_rebalance_seconds_count{{{_C}}}[$__rate_interval]))",
                "rebalances {{cluster}}",
                KAFKA,
            ),
            bars=True,
        ),
        graph(
            "Time without partitions",
            "From giving up partitions to the next assignment: so long does the table stand at a rebalance. Good is "
            "seconds.",
            "s",
            *quantiles("lastlogin_consumer_rebalance_seconds", _C),
            no_value="no rebalance",
        ),
        graph(
            "From events to rows",
            "What comes into the topic and what is fetched of it; rows written, logins that a newer one of the same "
            "user replaced, records set aside. Good: the first two are the sum of the others. More comes in than "
            "producers publish: somebody else writes to the topic.",
            RATE,
            Query(
                "clamp_min(sum by (cluster) ("
                f"deriv(lastlogin_consumer_watermark_offset{{{_T}}}[$__rate_interval])"
                f" + deriv(lastlogin_consumer_lag_records{{{_T}}}[$__rate_interval])), 0)",
                "comes in {{cluster}}",
                PRODUCER,
            ),
            rate("lastlogin_consumer_events_total", _C, "fetched", KAFKA),
            rate("lastlogin_consumer_rows_written_total", _C, "written", TABLE),
            rate("lastlogin_consumer_deduplicated_total", _C, "replaced by a newer one", ASKED),
            seen(rate("lastlogin_consumer_dead_letters_total", _C, "set aside", BAD)),
        ),
    ),
)

_BATCHES = Band(
    8,
    (
        graph(
            "Rows of a window",
            "Rows that are written together. It grows with the load and with linger_s; at 50,000 a window is full.",
            "short",
            *quantiles("lastlogin_consumer_batch_rows", _C),
        ),
        graph(
            "Share of events that need no row",
            "Deduplicated: a newer login of the same user was in the window. The higher, the less Cassandra has to "
            "write; a longer linger_s raises it.",
            "percentunit",
            Query(
                f"sum by (cluster) (rate(lastlogin_consumer_deduplicated_total{{{_C}}}[$__rate_interval])) / "
                f"(sum by (cluster) (rate(lastlogin_consumer_events_total{{{_C}}}[$__rate_interval])) > 0)",
                "deduplicated {{cluster}}",
                TABLE,
            ),
            most=1,
        ),
        graph(
            "From the login to its row",
            "Good is 99 of 100 below 5 s. High with a low lag: the login waited before Kafka, in a spool, or a clock "
            "is wrong.",
            "s",
            *quantiles("lastlogin_consumer_end_to_end_seconds", _C),
            no_value="nothing is written",
        ),
        graph(
            "Not written, and late",
            "Unmapped: no column for the service. Expired: older than ttl_s. Unchecked: came without a checksum, is "
            "written. Late: its row came after more than 5 s and linger_s. Good is none but what your settings mean.",
            RATE,
            *(
                seen(each)
                for each in (
                    rate("lastlogin_consumer_unmapped_total", _C, "unmapped"),
                    rate("lastlogin_consumer_expired_total", _C, "expired"),
                    rate("lastlogin_consumer_unchecked_total", _C, "unchecked"),
                    rate("lastlogin_consumer_late_rows_total", _C, "late", BAD),
                )
            ),
            no_value="none",
        ),
    ),
)

_CASSANDRA = Band(
    9,
    (
        heatmap(
            "Writes that Cassandra acknowledged, by how long they took",
            "Good is one bright band at 1 to 10 ms that stays where it is. A second band above it: one node is slow. "
            "The band rises with the load: Cassandra is the limit.",
            "s",
            Query(
                f'sum by (le) (increase({_WRITE}_bucket{{outcome="acknowledged",{_C}}}[$__rate_interval]))', "{{le}}"
            ),
        ),
        graph(
            "Slowest of 100 writes (p99), by outcome",
            "acknowledged is what counts. timed_out and refused: by nodes, or by us after 12 s; all are repeated.",
            "s",
            *(
                Query(
                    quantile(0.99, _WRITE, f'outcome="{outcome}",{_C}'),
                    f"{outcome} {{{{cluster}}}}",
                    colour,
                )
                for outcome, colour in _OUTCOMES
            ),
        ),
        graph(
            "Write requests, by outcome",
            "Good is acknowledged alone. failed: no node is there. refused: a node says no, with the reason in the "
            "log. repeated: written again; doing it twice changes nothing.",
            RATE,
            seen(rate("lastlogin_consumer_cassandra_retries_total", _C, "repeated", ASKED)),
            *(
                seen(rate(f"{_WRITE}_count", f'outcome="{outcome}",{_C}', outcome, colour))
                for outcome, colour in _OUTCOMES
            ),
        ),
    ),
)

_BAD = Band(
    8,
    (
        graph(
            "Dead letters, by reason",
            "Records set aside in the dead-letter topic. Good is none. `future`: a backend's clock is wrong. "
            "`refused`: Cassandra does not take that row. Others: somebody else writes to the topic.",
            "short",
            Query(
                f"sum by (cluster, reason) (increase(lastlogin_consumer_dead_letters_total{{{_C}}}[$__rate_interval])) "
                f"> 0",
                "{{reason}} {{cluster}}",
            ),
            bars=True,
            no_value="none",
        ),
        graph(
            "Breaker, held partitions, events lost",
            "1 while the breaker is open; how many partitions are held; events that Kafka deleted unread. Good is 0.",
            "short",
            Query(f"max by (cluster) (lastlogin_consumer_breaker_open{{{_C}}})", "breaker open {{cluster}}", WARN),
            Query(f"sum by (cluster) (lastlogin_consumer_partition_held{{{_T}}})", "held {{cluster}}", BAD),
            Query(
                f"sum by (cluster) (increase(lastlogin_consumer_offsets_lost_total{{{_C}}}[$__rate_interval]))",
                "lost {{cluster}}",
                WORST,
            ),
        ),
        graph(
            "CPU, each member",
            "As a share of one core. At 100 % it is the limit: start one more, at most as many as partitions.",
            "percentunit",
            Query(
                "sum by (cluster, instance) "
                f'(rate(process_cpu_seconds_total{{job="lastlogin-consumer",{_C}}}[$__rate_interval]))',
                "{{instance}} {{cluster}}",
            ),
            steps=((None, "transparent"), (1, BAD)),
        ),
        graph(
            "Memory, each member",
            "Resident. Good is a level that it reaches after some hours of load and keeps.",
            "bytes",
            Query(
                f'sum by (cluster, instance) (process_resident_memory_bytes{{job="lastlogin-consumer",{_C}}})',
                "{{instance}} {{cluster}}",
            ),
        ),
    ),
)

BOARD = Board(
    uid="lastlogin-consumer",
    title="lastlogin / Consumer and Cassandra",
    description="From Kafka to the table: lag of each partition, windows, Cassandra's writes, what is set aside.",
    variables=(CLUSTER, TOPIC),
    bands=(
        _TILES,
        row("Lag"),
        _LAG,
        row("Group"),
        _GROUP,
        row("Windows and latency"),
        _BATCHES,
        row("Cassandra"),
        _CASSANDRA,
        row("What cannot be used, and processes"),
        _BAD,
    ),
)
