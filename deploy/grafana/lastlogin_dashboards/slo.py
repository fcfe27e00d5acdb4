"""`lastlogin / SLO`: how much of the promise is kept, and how fast the rest of the month's budget goes."""

from lastlogin_dashboards.board import CLUSTER, Band, Board, row
from lastlogin_dashboards.panels import BAD, GOOD, PRODUCER, RATE, TABLE, WARN, WORST, Query, graph, link, text, tile
from lastlogin_dashboards.promql import CLUSTERS as _C
from lastlogin_dashboards.promql import rate
from lastlogin_dashboards.runbook import RUNBOOK


# The share of logins whose row is there within 5 s and linger_s, over 30 days.
OBJECTIVE = 0.99
_BUDGET = f"{1 - OBJECTIVE:g}"

_ERRORS = "cluster:lastlogin_slo_errors:ratio_rate"
_DAYS = "30d"
_LEFT = f"1 - max by (cluster) (avg_over_time({_ERRORS}5m{{{_C}}}[{_DAYS}])) / {_BUDGET}"
# Those of the alerts' rules, each with its colour.
_WINDOWS = (("5m", BAD), ("30m", WARN), ("1h", "yellow"), ("6h", TABLE), ("3d", PRODUCER))


_TILES = Band(
    5,
    (
        tile(
            "Objective",
            "So many of all logins must be in the table within 5 s (and the consumer's linger_s), over 30 days.",
            "percentunit",
            Query(f"vector({OBJECTIVE})", "objective"),
            decimals=1,
        ),
        tile(
            "Kept, last 30 days",
            "What was reached. Good is at or above the objective.",
            "percentunit",
            Query(f"1 - max(avg_over_time({_ERRORS}5m{{{_C}}}[{_DAYS}]))", "kept"),
            steps=((None, BAD), (OBJECTIVE, GOOD)),
            decimals=2,
        ),
        tile(
            "Error budget left",
            "100 %: nothing of what may go wrong in 30 days has. 0 %: all of it; until it recovers no risky change "
            "should be made. Below 0 % the objective is missed.",
            "percentunit",
            Query(f"min({_LEFT})", "left"),
            steps=((None, BAD), (0, WARN), (0.25, GOOD)),
            decimals=1,
        ),
        tile(
            "Burn rate, last hour",
            "1: the budget will last for exactly 30 days. 14.4: it is gone in two. Good is below 1.",
            "suffix: x",
            Query(f"max({_ERRORS}1h{{{_C}}}) / {_BUDGET}", "burn"),
            steps=((None, GOOD), (1, WARN), (14.4, BAD)),
            decimals=1,
            links=[link("The table is behind", f"{RUNBOOK}#the-table-is-behind")],
        ),
        tile(
            "Overdue now",
            "Share of partitions and producers whose oldest login has waited for more than 5 s (and linger_s). Good is "
            "0 %.",
            "percentunit",
            Query(f"max(cluster:lastlogin_overdue:ratio{{{_C}}})", "overdue"),
            steps=((None, GOOD), (0.0001, WARN), (0.5, BAD)),
            decimals=0,
        ),
        tile(
            "Late rows, last hour",
            "Rows that came after more than 5 s and linger_s. Good is next to none; after an outage of Kafka or "
            "Cassandra all that waited is late.",
            "short",
            Query(f"sum(increase(lastlogin_consumer_late_rows_total{{{_C}}}[1h]))", "late"),
            steps=((None, GOOD), (0.01, WARN)),
            decimals=0,
        ),
    ),
)

_BURN = Band(
    10,
    (
        graph(
            "Burn rates",
            "How many times faster than it may the budget goes, in each window. Good is below 1. An alert pages when "
            "two windows are above their line at once (1 h and 5 min above 14.4; 6 h and 30 min above 6), so it ends "
            "soon after the trouble does.",
            "suffix: x",
            *(
                Query(f"{_ERRORS}{window}{{{_C}}} / {_BUDGET}", f"{window} {{{{cluster}}}}", colour)
                for window, colour in _WINDOWS
            ),
            steps=((None, "transparent"), (1, GOOD), (6, WARN), (14.4, BAD)),
        ),
        graph(
            "Error budget left, of 30 days",
            "Where it falls the promise was broken; each step down is an outage, which the alerts' marks name. Below "
            "0 % the objective is missed.",
            "percentunit",
            Query(_LEFT, "left {{cluster}}", TABLE),
            steps=((None, "transparent"), (0.25, WARN)),
            least=None,
            most=1,
        ),
    ),
)

_CAUSES = Band(
    9,
    (
        graph(
            "Errors, in each window",
            "The larger one of the share of late rows and the average of `overdue`. Good is below the line, the "
            "objective.",
            "percentunit",
            *(Query(f"{_ERRORS}{window}{{{_C}}}", f"{window} {{{{cluster}}}}", colour) for window, colour in _WINDOWS),
            steps=((None, "transparent"), (round(1 - OBJECTIVE, 6), WORST)),
        ),
        graph(
            "Rows written, and late ones",
            "Late: acknowledged more than 5 s and linger_s after the login. Good is no red.",
            RATE,
            rate("lastlogin_consumer_rows_written_total", _C, "written", TABLE),
            rate("lastlogin_consumer_late_rows_total", _C, "late", BAD),
        ),
        graph(
            "Overdue",
            "While nothing is written there are no late rows, so this counts: the share of partitions and of producers "
            "whose oldest login waits too long.",
            "percentunit",
            Query(f"cluster:lastlogin_overdue:ratio{{{_C}}}", "overdue {{cluster}}", WARN),
            most=1,
        ),
    ),
)

_AUDIT = Band(
    5,
    (
        tile(
            "Last audit",
            "How long ago an audit could judge. Good is less than a day: `lastlogin audit --metrics-file`, by a timer. "
            "Without one nobody knows whether a login is missing.",
            "s",
            Query(f"time() - max(lastlogin_audit_completed_timestamp_seconds{{{_C}}})", "ago"),
            steps=((None, GOOD), (86_400, WARN), (2 * 86_400, BAD)),
            no_value="no audit",
            links=[link("The audit finds something", f"{RUNBOOK}#the-audit-finds-something")],
        ),
        tile(
            "Messages missing",
            "Numbers missing in the sequences of producers: acknowledged to Dovecot, and on no topic. Good is 0.",
            "short",
            Query(f"sum(lastlogin_audit_missing_messages{{{_C}}})", "missing"),
            steps=((None, GOOD), (1, BAD)),
            no_value="no audit",
            decimals=0,
            links=[link("A sequence has a hole", f"{RUNBOOK}#a-sequence-has-a-hole")],
        ),
        tile(
            "Rows wrong or missing",
            "Rows that are not what the events say. Good is 0; others can be mended, within the retention.",
            "short",
            Query(f"sum(lastlogin_audit_wrong_rows{{{_C}}})", "wrong"),
            steps=((None, GOOD), (1, BAD)),
            no_value="no audit",
            decimals=0,
            links=[link("A row is wrong or missing", f"{RUNBOOK}#a-row-is-wrong-or-missing")],
        ),
        tile(
            "Records unreadable",
            "Records that Kafka has and cannot give. Good is 0. Their logins may be in producers' spools, for a day.",
            "short",
            Query(f"sum(lastlogin_audit_unreadable_records{{{_C}}})", "unreadable"),
            steps=((None, GOOD), (1, BAD)),
            no_value="no audit",
            decimals=0,
            links=[link("A partition cannot be read", f"{RUNBOOK}#a-partition-cannot-be-read")],
        ),
    ),
)

BOARD = Board(
    uid="lastlogin-slo",
    title="lastlogin / SLO",
    description="The promise (a login is in the table within seconds), what is left of a month's error budget.",
    variables=(CLUSTER,),
    bands=(
        Band(
            2,
            (
                text(
                    f"**{OBJECTIVE:.0%} of all logins are in the table within 5 s and the consumer's `linger_s`, over "
                    f"30 "
                    "days.** What fails it: rows that come later than that, and the time in which logins wait for "
                    "longer. A Prometheus that keeps less than 30 days shows what it has."
                ),
            ),
        ),
        _TILES,
        _BURN,
        _CAUSES,
        row("Proof: what the last audit found"),
        _AUDIT,
    ),
    shown="now-6h",
)
