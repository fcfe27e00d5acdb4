"""`lastlogin / Are logins recorded?`: the page for who is called at night and never saw this before."""

from lastlogin_dashboards.board import CLUSTER, Band, Board
from lastlogin_dashboards.panels import (
    ASKED,
    BAD,
    GOOD,
    KAFKA,
    PRODUCER,
    RATE,
    TABLE,
    WARN,
    WORST,
    Column,
    Query,
    between,
    graph,
    link,
    override,
    table,
    text,
    thresholds,
    tile,
    words,
)
from lastlogin_dashboards.promql import CLUSTERS as _C
from lastlogin_dashboards.promql import quantiles, rate, seen
from lastlogin_dashboards.runbook import RUNBOOK, firing, with_section


_REPLIES = "lastlogin_producer_dict_commit_reply_seconds_count"
_SPOOL_AGE = f"cluster:lastlogin_spool_oldest_age_seconds:max{{{_C}}}"
_LAG = f"cluster:lastlogin_lag_seconds:max{{{_C}}}"
_YES_OR_NO = (words((1, "YES", GOOD), (0, "NO", BAD)), between(0.0001, 0.9999, "PARTLY", WORST))
_BEHIND = ((None, GOOD), (5, WARN), (300, BAD))


_TILES = Band(
    5,
    (
        tile(
            "Are logins recorded?",
            "YES: every mail backend's producer answers Dovecot, and keeps each login on its disk. PARTLY: some do "
            "not, or a backend that had logins has none. NO: none does. "
            "Users get in all the same; what is lost is when they did. Then: the alerts below, "
            "and the dashboard Producers tells which backend.",
            "none",
            Query(
                f'avg(lastlogin_producer_ready{{{_C}}} or up{{job="lastlogin-producer",{_C}}}) * '
                f"(1 - (0.5 * (count({firing(alert='LastLoginBackendSilent')}) > bool 0) or vector(0)))",
                "recorded",
            ),
            steps=((None, BAD), (1, GOOD)),
            mappings=_YES_OR_NO,
            links=[link("A service is down", f"{RUNBOOK}#a-service-is-down")],
        ),
        tile(
            "Refused in 5 minutes",
            'Logins that the producers answered with anything but "stored": not recorded, or perhaps not. Good is 0. '
            "More: a spool is full or its disk is slow.",
            "short",
            Query(f'sum(increase({_REPLIES}{{reply!="stored",{_C}}}[5m]))', "refused"),
            steps=((None, GOOD), (0.01, BAD)),
            decimals=0,
            links=[link("Logins are refused", f"{RUNBOOK}#logins-are-refused")],
        ),
        tile(
            "Is the table written?",
            "YES: each consumer that answers can write. PARTLY: one of them cannot. NO: none does; nothing is lost, "
            "the logins wait in Kafka for 7 days, but customer care sees old times. Its /readyz says why.",
            "none",
            Query(f'avg(lastlogin_consumer_ready{{{_C}}}) or 0 * max(up{{job="lastlogin-consumer",{_C}}})', "written"),
            steps=((None, BAD), (1, GOOD)),
            mappings=_YES_OR_NO,
            links=[link("Nothing is written", f"{RUNBOOK}#nothing-is-written")],
        ),
        tile(
            "Table behind by",
            "Age of the oldest login that the table does not show yet, wherever it waits: in a spool or in Kafka. Good "
            "is below 5 s. After an outage it falls by itself. Not known: no consumer tells what waits in Kafka.",
            "s",
            Query(
                f"(max({_LAG}) > max({_SPOOL_AGE}) or max({_SPOOL_AGE}) or max({_LAG})) unless on () "
                f'(group by (cluster) (up{{job="lastlogin-producer",{_C}}}) unless on (cluster) {_LAG})',
                "behind",
            ),
            steps=_BEHIND,
            no_value="not known",
            links=[link("The table is behind", f"{RUNBOOK}#the-table-is-behind")],
        ),
        tile(
            "Oldest in a spool",
            "Age of the oldest login that is on no disk but its backend's. Good is below 5 s. As old as the tile to "
            "the left: Kafka takes nothing, see Producers. Far younger: the table takes nothing, see Consumer and "
            "Cassandra.",
            "s",
            Query(f"max({_SPOOL_AGE})", "oldest"),
            steps=_BEHIND,
            links=[link("Kafka is away", f"{RUNBOOK}#kafka-is-away")],
        ),
        tile(
            "Alerts",
            "Alerts that fire now: page means that somebody should look at once, ticket means this week. Good is none. "
            "Which, and what to do: the list below.",
            "none",
            Query(f"count({firing('page')}) or vector(0)", "page"),
            Query(f"count({firing('ticket')}) or vector(0)", "ticket"),
            steps=((None, GOOD), (1, BAD)),
            overrides=[override("ticket", {"thresholds": thresholds(((None, GOOD), (1, WARN)))})],
            decimals=0,
        ),
    ),
)

_MIDDLE = Band(
    10,
    (
        graph(
            "Logins: asked, acknowledged, published, written",
            "The four steps of each login; good is four lines that lie on each other. Acknowledged below asked: logins "
            "are refused. Published below acknowledged: Kafka takes less, spools fill. Written below published: the "
            "table falls behind. A peak: it catches up. Written counts the logins that a newer one of the same user "
            "replaced.",
            RATE,
            rate(_REPLIES, _C, "asked", ASKED),
            rate(_REPLIES, f'reply="stored",{_C}', "acknowledged", PRODUCER),
            rate("lastlogin_producer_kafka_published_total", _C, "published", KAFKA),
            Query(
                f"sum by (cluster) (rate(lastlogin_consumer_rows_written_total{{{_C}}}[$__rate_interval])"
                f" + rate(lastlogin_consumer_deduplicated_total{{{_C}}}[$__rate_interval]))",
                "written {{cluster}}",
                TABLE,
            ),
            seen(rate(_REPLIES, f'reply!="stored",{_C}', "refused", BAD)),
        ),
        table(
            "Alerts that fire now",
            "Good is an empty list. Click a line: the runbook says what it means to customers, what to look at, how to "
            "mend it and when it is over.",
            (
                Column("severity", width=70, mappings=[words(("page", "page", BAD), ("ticket", "ticket", WARN))]),
                Column(
                    "alertname",
                    links=[link("Runbook", f"{RUNBOOK}#${{__data.fields.runbook}}")],
                ),
                Column("runbook", links=[link("Runbook", f"{RUNBOOK}#${{__value.raw}}")]),
                Column("instance", width=140),
                Column("cluster", width=60),
                Column("firing", with_section(firing()), hidden=True),
            ),
            # Names need the room: what one alert has beside the others is in its section.
            without=("__name__", "alertstate", "job", "reason", "verdict", "topic", "partition"),
            no_value="none: all is well",
        ),
    ),
    widths=(13, 11),
)

_BOTTOM = Band(
    9,
    (
        graph(
            "How far behind",
            "Age of the oldest login that waits: in a spool on a backend (Kafka takes nothing or too little), and in "
            "Kafka (the table takes nothing or too little). Good is below the line at 5 s, whatever the load.",
            "s",
            Query(_SPOOL_AGE, "in a spool {{cluster}}", PRODUCER),
            Query(_LAG, "in Kafka {{cluster}}", TABLE),
            steps=((None, "transparent"), (5, WARN)),
        ),
        graph(
            "Logins that wait",
            "How many wait, and where. Good is some of a second's. The blue line rises: Kafka is away. The teal one: "
            "the table is not written. Nothing is lost while they wait.",
            "short",
            Query(f"sum by (cluster) (lastlogin_producer_spool_rows{{{_C}}})", "in spools {{cluster}}", PRODUCER),
            Query(f"cluster:lastlogin_lag_records:sum{{{_C}}}", "in Kafka {{cluster}}", TABLE),
        ),
        graph(
            "Fullest spool",
            "How full the fullest spool of all backends is. Good is next to nothing. From 70 % on mend Kafka or make "
            "room; at 100 % logins are refused, that is, not recorded.",
            "percentunit",
            Query(f"max by (cluster) (lastlogin_producer_spool_used_ratio{{{_C}}})", "fullest {{cluster}}", PRODUCER),
            steps=((None, "transparent"), (0.7, WARN), (1, BAD)),
            most=1,
        ),
        graph(
            "From the login to its row",
            "How long it takes until customer care sees a login. Good is 99 of 100 below 5 s (and the consumer's "
            "linger_s). While nothing is written there is no line at all: the tile above counts.",
            "s",
            *quantiles(
                "lastlogin_consumer_end_to_end_seconds",
                _C,
                ((0.5, "half of all"), (0.95, "95 of 100"), (0.99, "99 of 100")),
            ),
            steps=((None, "transparent"), (5, WARN)),
            no_value="nothing is written",
        ),
    ),
)

BOARD = Board(
    uid="lastlogin-recorded",
    title="lastlogin / Are logins recorded?",
    description="Start here. A login's way: Dovecot, producer (with its spool), Kafka, consumer, Cassandra's table.",
    variables=(CLUSTER,),
    bands=(
        Band(
            2,
            (
                text(
                    "A login goes from **Dovecot** to the **producer** on the same backend, which answers when it is "
                    "on disk (its *spool*), then to **Kafka**, and the **consumer** writes it to **Cassandra's "
                    "table**, where customer care sees it. Users get in whatever is red here: it is about whether "
                    "their logins are *recorded*, and how "
                    f"soon. Green: all is well. Else: the list of alerts, each with [what to do]({RUNBOOK})."
                ),
            ),
        ),
        _TILES,
        _MIDDLE,
        _BOTTOM,
    ),
    refresh="10s",
)
