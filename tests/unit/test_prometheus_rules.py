"""deploy/prometheus as Prometheus's own tool sees it, and the rules against the metrics that there are."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastlogin_docs.pages import DOCS
from lastlogin_stack.layout import PROJECT_ROOT


DIRECTORY = PROJECT_ROOT / "deploy" / "prometheus"
RULES = DIRECTORY / "lastlogin.rules.yml"
TEXT = RULES.read_text(encoding="utf-8")
GROUPS: list[dict[str, Any]] = yaml.safe_load(TEXT)["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDED = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
TESTS = sorted((DIRECTORY / "tests").glob("*.yml"))
# What Prometheus, and its client in every process, add to our own metrics.
OF_PROMETHEUS = {"up", "process_start_time_seconds"}


def promtool(*arguments: str | Path) -> None:
    """Let Prometheus's tool judge; what it finds fault with is the assertion's message."""
    done = subprocess.run(["promtool", *arguments], cwd=DIRECTORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_files() -> None:
    """The configuration and the rules that it loads are valid."""
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", RULES)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_rules(file: Path) -> None:
    """The rules tell what the file expects of its series."""
    promtool("test", "rules", file)


def test_order_of_groups() -> None:
    """Every file of tests names the order of the groups: else one may see what another records an evaluation later."""
    for file in TESTS:
        assert [group["name"] for group in GROUPS] == yaml.safe_load(file.read_text("utf-8"))["group_eval_order"], file


def test_every_alert_is_tested() -> None:
    """For each alert there is a case in which it fires, and one in which it does not although it is looked at."""
    fires, silent = set(), set()
    for file in TESTS:
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for case in test.get("alert_rule_test", ()):
                (fires if case["exp_alerts"] else silent).add(case["alertname"])

    assert ALERTS.keys() == fires
    assert ALERTS.keys() == silent


def test_every_recording_rule_is_tested_and_told() -> None:
    """What is recorded is looked at by a test, is on the page of alerts, and begins with its level."""
    tested = "".join(file.read_text(encoding="utf-8") for file in TESTS)
    told = (DOCS / "alerts.md").read_text(encoding="utf-8")

    assert [] == [name for name in RECORDED if name not in tested and TEXT.count(name) == 1]
    assert [] == [name for name in RECORDED if f"`{name}`" not in told]
    assert {name.partition(":")[0] for name in RECORDED} == {"cluster", "instance"}


def alertmanager() -> dict[str, Any]:
    """Return what the page of alerts gives Alertmanager."""
    page = (DOCS / "alerts.md").read_text(encoding="utf-8")
    blocks = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    given: dict[str, Any] = next(block for block in blocks if "route" in block)
    return given


def test_names_on_the_page() -> None:
    """What the page of alerts gives Alertmanager to route and to inhibit are alerts."""
    given = alertmanager()
    matchers = [matcher for route in given["route"]["routes"] for matcher in route["matchers"]]
    matchers += [each for rule in given["inhibit_rules"] for each in rule["source_matchers"] + rule["target_matchers"]]
    for matcher in matchers:
        names = re.findall(r"LastLogin\w+", matcher)
        assert names or not matcher.startswith("alertname"), matcher
        assert set() == set(names) - ALERTS.keys(), matcher


def test_one_outage_calls_once() -> None:
    """The budget's pages share a route with the causes that inhibit them, which end first: nobody is called anew."""
    given = alertmanager()
    together = given["route"]["routes"][0]
    inhibiting = given["inhibit_rules"][0]
    named = set(re.findall(r"LastLogin\w+", str(inhibiting)))

    assert ["cluster"] == together["group_by"] == inhibiting["equal"]
    assert named >= {"LastLoginSLOFastBurn", "LastLoginSLOBurn"}
    assert set(re.findall(r"LastLogin\w+", str(together))) == {
        name for name in named if ALERTS[name]["labels"]["severity"] == "page"
    }


def test_names_of_metrics() -> None:
    """Every metric that a rule names is on the page of all metrics, is recorded by a rule, or is Prometheus's own."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    known = dict(re.findall(r"^\| `(lastlogin_\w+)` \| (\w+)", page, re.MULTILINE))
    parts = {f"{name}_{part}" for name, type_ in known.items() if type_ == "histogram" for part in ("bucket", "count")}

    unknown = set(named()) - known.keys() - parts - RECORDED - OF_PROMETHEUS
    assert set() == unknown


def test_labels() -> None:
    """What a rule selects by is a label of that metric, with a value that it can have."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    for name, selectors in re.findall(r"(lastlogin_\w+)\{([^}]+)\}", " ".join(expressions())):
        labels = re.search(rf"^\| `{re.sub('_(bucket|count)$', '', name)}` \| \w+ \| ([^|]*) \|", page, re.MULTILINE)
        for label, value in re.findall(r'(\w+)!?="(\w+)"', selectors):
            assert labels, name
            assert re.search(rf"`{label}`: [\w, ]*\b{value}\b", labels[1]), (name, label, value)


def expressions() -> Iterator[str]:
    """Return what each rule asks."""
    for group in GROUPS:
        for rule in group["rules"]:
            yield str(rule["expr"])


def named() -> Iterator[str]:
    """Names of series in all expressions: what has a selector or a range behind it, or is like ours."""
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        yield from re.findall(r"\b[a-z_:0-9]*lastlogin_[a-z_:0-9]+\b|\b[a-z_:]+(?=[\[{])", bare)


@pytest.mark.parametrize("name", ALERTS)
def test_what_an_alert_says(name: str) -> None:
    """It is ours by its name, is a page or a ticket, says what is seen and where to read on, and why it is as it is."""
    rule = ALERTS[name]
    source = TEXT.partition(f"- alert: {name}\n")[2].partition("- alert:")[0]
    before = TEXT.partition(f"- alert: {name}\n")[0].rsplit("\n\n", 1)[-1]

    assert re.fullmatch(r"LastLogin[A-Z]\w+", name)
    assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in rule["annotations"]["summary"]
    assert re.search(r"[Cc]ustomer care", rule["annotations"]["description"])
    assert re.fullmatch(r"https://lastlogin\.example\.org/docs/runbook\.md#[\w-]+", rule["annotations"]["runbook_url"])
    assert "#" in before + source.partition("annotations:")[0]
    # An alert that waits says why for so long.
    assert "for" not in rule or re.search(r"# .*\n +for: ", source)
