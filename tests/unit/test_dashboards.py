"""The dashboards of Grafana: what they ask for exists, and who reads them is told what it means."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from lastlogin_dashboards.boards import BOARDS, DASHBOARDS, FILES
from lastlogin_dashboards.runbook import RUNBOOK
from lastlogin_dashboards.slo import OBJECTIVE
from lastlogin_docs.metrics import SERVICES
from lastlogin_docs.pages import DOCS
from lastlogin_service.endpoint import new_registry
from lastlogin_stack.layout import PROJECT_ROOT
from tests.support.promql import Use, uses


GRAFANA = PROJECT_ROOT / "deploy" / "grafana"
RULES = yaml.safe_load((PROJECT_ROOT / "deploy" / "prometheus" / "lastlogin.rules.yml").read_text(encoding="utf-8"))
DOCUMENTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))
}
# What Prometheus adds to every series, the shipped configuration for `cluster`.
TARGET = frozenset({"job", "instance", "cluster"})
ENDINGS = {"counter": ("_total",), "gauge": ("",), "info": ("",), "histogram": ("_bucket", "_sum", "_count")}


def series_of(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the names and labels of all series that a service may expose."""
    for metric in registry.collect():
        labels = {*getattr(metric, "_labelnames", ()), *(name for each in metric.samples for name in each.labels)}
        for ending in ENDINGS[metric.type]:
            own = labels | {"le"} if ending == "_bucket" else labels - {"le"}
            yield metric.name + ending, TARGET | own


def catalogue() -> Mapping[str, frozenset[str]]:
    """Return the labels of everything that a Prometheus with our rules knows, by name."""
    known = {"up": TARGET, "ALERTS": TARGET | {"alertname", "alertstate", "severity"}}
    for prefix, add in SERVICES.items():
        registry = new_registry(prefix, "")
        add(registry)
        known |= dict(series_of(registry))
    for name in [name for name in known if name.startswith("process_")]:
        known[f"lastlogin_producer_outbox_{name}"] = TARGET
    # What an audit tells, by the page that a test compares with the code.
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    for name, labels in re.findall(r"^\| `(lastlogin_audit_\w+)` \| gauge \| (.*?) \|", page, re.MULTILINE):
        known[name] = TARGET | set(re.findall(r"`(\w+)`", labels))
    for rule in (rule for group in RULES["groups"] for rule in group["rules"] if "record" in rule):
        known[rule["record"]] = frozenset({"cluster", rule["record"].partition(":")[0]})
    return known


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something of a Prometheus."""
    return [panel for panel in document["panels"] if panel["type"] not in ("row", "text")]


def expressions(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield all expressions, each with the place where it stands."""
    for panel in panels(document):
        for target in panel["targets"]:
            yield f"{panel['title']}, {target['refId']}", target["expr"]
    for annotation in document["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr] # the test fails then
            yield f"${variable['name']}", f"group by ({label}) ({series})"


def filled(expression: str) -> str:
    """Return an expression with values for variables."""
    return re.sub(r"\$(\w+)", lambda found: "1m" if found[1].startswith("__") else ".*", expression)


def test_files_are_current() -> None:
    """The files are what `make docs` would write now, and there are no others."""
    assert {f"{uid}.json" for uid in DOCUMENTS} == set(FILES)
    outdated = [name for name, text in FILES.items() if (DASHBOARDS / name).read_text(encoding="utf-8") != text()]

    assert [] == outdated


def test_metrics_exist() -> None:
    """Every series that a dashboard asks for exists, with the labels that it is asked by."""
    known = catalogue()
    unknown = {
        f"{name}: {use.metric} {sorted(use.labels - known.get(use.metric, frozenset()))}"
        for document in DOCUMENTS.values()
        for _, expression in expressions(document)
        for name, use in ((document["uid"], use) for use in uses(filled(expression)))
        if not use.labels <= known.get(use.metric, frozenset()) or use.metric not in known
    }

    assert [] == sorted(unknown)


def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    """Prometheus's own parser finds no mistake in any expression."""
    rules = [
        {"record": f"dashboard:{at}", "expr": filled(expression)}
        for at, (_, expression) in enumerate(each for document in DOCUMENTS.values() for each in expressions(document))
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}), encoding="utf-8")

    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (a) (rate(b_total{c=~"x",d!="y}{"}[5m]))', [("b_total", {"a", "c", "d"})]),
        ("b / on (a) group_left (c) d or vector(0) > bool 1e3", [("b", set()), ("d", set())]),
        ("max(b:c:d) - timestamp(e{f='}'} offset 1h)", [("b:c:d", set()), ("e", {"f"})]),
        (
            'topk(3, quantile(0.9, sum by (a, le) (b)) > 0) + max by (c) (d{e=""})',
            [("b", {"a", "le"}), ("d", {"c", "e"})],
        ),
    ],
)
def test_uses_are_read(expression: str, found: list[tuple[str, set[str]]]) -> None:
    """Metrics are told from functions, words, strings and labels."""
    assert [Use(metric, frozenset(labels)) for metric, labels in found] == list(uses(expression))


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_panels_explain_themselves(uid: str) -> None:
    """Each panel says what good looks like, and has a unit, words for no value, and the datasource that was chosen."""
    for panel in panels(DOCUMENTS[uid]):
        config = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 50, panel["title"]
        assert config["unit"], panel["title"]
        assert config["noValue"], panel["title"]
        assert config["thresholds"]["steps"][0]["value"] is None, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_tiles_do_not_look_good_without_a_value(uid: str) -> None:
    """A tile whose series is missing says so in grey."""
    for panel in panels(DOCUMENTS[uid]):
        if panel["type"] == "stat":
            *_, last = panel["fieldConfig"]["defaults"]["mappings"]
            assert last["options"]["match"] == "null+nan"
            assert last["options"]["result"]["color"] not in ("green", "text")


AGE, LAG = "cluster:lastlogin_spool_oldest_age_seconds:max", "cluster:lastlogin_lag_seconds:max"
CONSUMER = '{cluster="a",job="lastlogin-consumer",instance="c1"}'


@pytest.mark.parametrize(
    ("uid", "title", "series", "told"),
    [
        ("recorded", "Table behind by", {f'{AGE}{{cluster="a"}}': 3, f'{LAG}{{cluster="a"}}': 90}, 90),
        ("recorded", "Table behind by", {f'{AGE}{{cluster="a"}}': 90, f'{LAG}{{cluster="a"}}': 0}, 90),
        # Nobody tells what waits in Kafka: in no cluster, or not in this one.
        ("recorded", "Table behind by", {f'{AGE}{{cluster="a"}}': 0}, None),
        ("recorded", "Table behind by", {f'{AGE}{{cluster="a"}}': 0, f'{LAG}{{cluster="b"}}': 0}, None),
        ("consumer", "Consumers", {f"up{CONSUMER}": 0}, 0),
        ("consumer", "Consumers", {f"up{CONSUMER}": 1, f"lastlogin_consumer_ready{CONSUMER}": 1}, 1),
        # What was found at the start, before the first scrape; and what is older than the window.
        *(
            (
                "consumer",
                title,
                {f"lastlogin_consumer_{counter}{CONSUMER}": 400, f"process_start_time_seconds{CONSUMER}": began},
                told,
            )
            for title, counter in (
                ("Dead letters, 1 h", "dead_letters_total"),
                ("Events lost, 1 d", "offsets_lost_total"),
            )
            for began, told in ((0, 400), (-100_000, 0))
        ),
    ],
)
def test_what_tiles_tell_in_an_outage(
    tmp_path: Path, uid: str, title: str, series: Mapping[str, float], told: float | None
) -> None:
    """A tile never looks as if all were well because who should tell is away."""
    asked = next(panel for panel in panels(DOCUMENTS[f"lastlogin-{uid}"]) if panel["title"] == title)["targets"][0]
    given = {'up{cluster="a",job="lastlogin-producer",instance="p1"}': 1} | dict(series)
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x10"} for name, value in given.items()],
        "promql_expr_test": [
            {
                "expr": filled(asked["expr"]),
                "eval_time": "10m",
                "exp_samples": [] if told is None else [{"labels": "{}", "value": told}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}), encoding="utf-8")

    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_legends_name_labels_that_are_there(uid: str) -> None:
    """A legend names only labels that its expression keeps."""
    for panel in panels(DOCUMENTS[uid]):
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) - {"cluster"}
            kept = {label for use in uses(filled(target["expr"])) for label in use.labels}
            assert named <= kept, panel["title"]


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_panels_do_not_overlap(uid: str) -> None:
    """No two panels take the same place, and none stands out of the grid."""
    boxes = [panel["gridPos"] for panel in DOCUMENTS[uid]["panels"]]
    for one, other in combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    assert max(box["x"] + box["w"] for box in boxes) == 24


def test_dashboards_find_each_other() -> None:
    """Each dashboard has an id of its own, and a tag by which the others link to it, with the time and the choices."""
    assert len({board.uid for board in BOARDS}) == len(BOARDS) == 4
    for uid, document in DOCUMENTS.items():
        by_tag = document["links"][0]
        assert uid == document["uid"]
        assert set(by_tag["tags"]) <= set(document["tags"])
        assert by_tag["includeVars"]
        assert by_tag["keepTime"]
        assert [variable["name"] for variable in document["templating"]["list"]][:2] == ["datasource", "cluster"]


def test_runbook_has_the_sections() -> None:
    """Every link to a section of the runbook leads to one that exists, the sections of the alerts as well."""
    headings = re.findall(r"^#+ (.+)$", (DOCS / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    known = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    everything = json.dumps(DOCUMENTS)
    linked = {*re.findall(rf"{re.escape(RUNBOOK)}#([\w-]+)", everything)}
    of_alerts = {*re.findall(r'\\"runbook\\", \\"([\w-]+)\\"', everything)}

    assert linked
    assert of_alerts
    assert linked | of_alerts <= known


def test_links_in_tables_use_fields_that_are_there() -> None:
    """No link takes its address from a field that the table's transformation removes."""
    for document in DOCUMENTS.values():
        for panel in panels(document):
            removed = {
                name for each in panel.get("transformations", ()) for name in each["options"].get("excludeByName", ())
            }
            assert not removed & set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel))), panel["title"]


def test_objective_is_that_of_the_rules() -> None:
    """The alerts burn the budget that the dashboard shows."""
    (fast,) = (
        rule for group in RULES["groups"] for rule in group["rules"] if rule.get("alert") == "LastLoginSLOFastBurn"
    )

    assert f"14.4 * {1 - OBJECTIVE:g}" in fast["expr"]


def test_a_budget_that_is_overdrawn_is_seen() -> None:
    """The axis of the graph of the error budget does not end at 0, as that of every other graph does."""
    axes = {
        panel["title"]
        for document in DOCUMENTS.values()
        for panel in panels(document)
        if panel["type"] == "timeseries" and "min" not in panel["fieldConfig"]["defaults"]
    }

    assert {"Error budget left, of 30 days"} == axes


def test_provisioning() -> None:
    """Grafana in the containers finds the dashboards where it looks for them, and the datasource that it is told."""
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/lastlogin.yml").read_text("utf-8"))["providers"]
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    scraping = yaml.safe_load((PROJECT_ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))

    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose["services"]["grafana"]["volumes"]
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]
