"""docs/logs.md tells of every line what the code says: action, levels, keys, and whether it is held back."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from lastlogin_consumer.metrics import Totals
from lastlogin_docs.pages import DOCS
from tests.support.logged import Logged, all_logged


PAGE = (DOCS / "logs.md").read_text(encoding="utf-8")
# Part of the source -> where its lines are told; what the service kit says is told once.
SECTIONS = {"service": "Both services", "producer": "Producer", "consumer": "Consumer", "commands": "Commands"}
EVERY_LINE = {"timestamp", "level", "action", "event", "suppressed", "logger", "exception"}
# What calls pass on as a whole, `**`.
PASSED_ON = {
    ("consumer", "cassandra_failing"): {"rows", "partitions"},
    ("consumer", "stopped"): set(Totals().summary()),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table of lines."""

    action: str
    levels: set[str]
    every: str
    keys: set[str]
    means: str


def told(part: str) -> Mapping[str, Row]:
    """The rows of a section, by action; each action has one."""
    section = PAGE.partition(f"\n## {SECTIONS[part]}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|( `.*)\|$", section, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    found = {
        action.strip("`"): Row(action, set(levels.split(", ")), every, set(re.findall(r"`(\w+)`", keys)), means)
        for action, levels, every, keys, means, _do in rows
    }
    assert len(rows) == len(found)
    return found


def logged(part: str) -> Mapping[str, list[Logged]]:
    """The calls of a part of the source, by action."""
    found = defaultdict(list)
    kit = {each.action for each in all_logged() if each.part == "service"}
    for each in all_logged():
        if each.part == part or (part == "service" and each.action in kit):
            found[each.action].append(each)
    return {action: calls for action, calls in found.items() if part == "service" or action not in kit}


@pytest.mark.parametrize("part", SECTIONS)
def test_every_line(part: str) -> None:
    """The tables have every action that is logged, where it is logged, with its levels and keys, and no other."""
    rows, code = told(part), logged(part)

    assert sorted(code) == sorted(rows)
    for action, calls in code.items():
        keys = {key for each in calls for key in each.keys} | PASSED_ON.get((part, action), set())
        levels = {each.level for each in calls}
        assert (action, keys - {"suppressed"}) == (action, rows[action].keys)
        assert None in levels or (action, levels) == (action, rows[action].levels)
        assert rows[action].means, action


def test_keys_passed_on_are_known() -> None:
    """Of whichever call passes keys on as a whole this test knows which."""
    assert set(PASSED_ON) == {(each.part, each.action) for each in all_logged() if not each.whole}


@pytest.mark.parametrize("part", SECTIONS)
def test_what_repeats(part: str) -> None:
    """Of what is held back the page says how often it comes, and each such line counts what was held back."""
    held_back = {action for action, calls in logged(part).items() if any("suppressed" in call.keys for call in calls)}

    assert held_back == {action for action, row in told(part).items() if re.fullmatch(r"\d+ s", row.every)}


def test_no_key_hides_another() -> None:
    """None is named as what every line has: the one would take the other's place."""
    own = {key for each in all_logged() for key in each.keys}
    table = PAGE.partition("| key |")[2].partition("\n\n")[0]

    assert {"suppressed"} == own & EVERY_LINE
    assert EVERY_LINE == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_examples() -> None:
    """The lines that the page shows are such lines, in JSON and for people."""
    lines = [json.loads(line) for line in PAGE.partition("```json\n")[2].partition("```")[0].splitlines()]
    for line in lines:
        row = told("producer")[line["action"]]
        assert row.keys == set(line) - EVERY_LINE
        assert {line["level"]} == row.levels
    people = PAGE.partition("```console\n")[2].partition("```")[0].splitlines()

    assert len(people) == len(lines) > 0
    for line, text in zip(lines, people, strict=True):
        assert f"] {line['event']} [{line['action']}] " in text
