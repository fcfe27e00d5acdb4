"""How Prometheus of a stack is configured, and how its rules come to take less time."""

from pathlib import Path

import pytest
import yaml

from lastlogin_stack.layout import Layout
from lastlogin_stack.prometheus import SHIPPED, Prometheus, scaled


@pytest.mark.parametrize(
    ("shipped", "here"),
    [
        ("for: 5m", "for: 5000ms"),
        ("keep_firing_for: 1h30m", "keep_firing_for: 90000ms"),
        ("    interval: 30s\n", "    interval: 500ms\n"),
        ("rate(a_total[5m])", "rate(a_total[5000ms])"),
        ("max_over_time(a[1h:30s] offset 1d)", "max_over_time(a[60000ms:500ms] offset 1440000ms)"),
        ("max_over_time(a[1h:])", "max_over_time(a[60000ms:])"),
        ("cluster:lag_seconds:max > 60 + x", "cluster:lag_seconds:max > 1 + x"),
        ("spool_oldest_age_seconds > bool 90", "spool_oldest_age_seconds > bool 1.5"),
    ],
)
def test_what_takes_time_takes_a_sixtieth(shipped: str, here: str) -> None:
    """What alerts wait, ranges, steps and offsets, and the age from which something is late."""
    assert here == scaled(shipped, 60)


@pytest.mark.parametrize(
    "text",
    [
        "record: cluster:lastlogin_logins:rate5m",
        "description: after 5 minutes, or 5m, somebody looks",
        "spool_oldest_age_seconds > bool 5",
        "abs(clock_seconds - timestamp(clock_seconds)) > 2",
        'a{reason="5m"} > 60',
    ],
)
def test_what_takes_none_stays(text: str) -> None:
    """Names, words, numbers, and the five seconds within which a row must be there."""
    assert text == scaled(text, 60)


def test_the_shipped_jobs_on_this_stack() -> None:
    """Jobs and labels are those that we ship; the addresses are this stack's."""
    shipped = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    ours = yaml.safe_load(Prometheus(Layout(Path("/stack"), 18000)).configuration())["scrape_configs"]
    targets = [each.pop("targets") for job in ours for each in job["static_configs"]]
    for job in shipped:
        for each in job["static_configs"]:
            del each["targets"]

    assert [["127.0.0.1:18068"], ["127.0.0.1:18069"]] == targets
    assert shipped == ours
