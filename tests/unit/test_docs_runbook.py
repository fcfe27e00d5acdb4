"""docs/runbook.md has a section for whatever alerts; the commands that pages name are there, with their options."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import click
import pytest
import yaml

from lastlogin_consumer.main import main as consumer
from lastlogin_docs.pages import DOCS
from lastlogin_ops.main import main as lastlogin
from lastlogin_producer.main import main as producer
from lastlogin_stack.layout import PROJECT_ROOT


RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", RUNBOOK, re.MULTILINE))
RULES = PROJECT_ROOT / "deploy" / "prometheus"
PROGRAMS = {"lastlogin": lastlogin, "lastlogin-consumer": consumer, "lastlogin-producer": producer}
PAGES = [PROJECT_ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def anchor(title: str) -> str:
    """How a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")


def test_sections() -> None:
    """Each says what it means, what to look at, what to do and when it is over, and is found by what is seen."""
    for title, text in SECTIONS.items():
        parts = re.findall(r"^\*\*(Means|Check|Mend|Over)\*\*", text, re.MULTILINE)
        assert ["Means", "Check", "Mend", "Over"] == parts, title
    seen = RUNBOOK.partition("| what is seen |")[2].partition("\n## ")[0]
    linked = set(re.findall(r"\(#([\w-]+)\)", seen))

    assert {anchor(title) for title in SECTIONS} - linked == {"events-must-be-written-again"}


def test_alerts() -> None:
    """Whatever alerts links to its section, and a section names all that do, in the order of the rules."""
    alerts: dict[str, list[str]] = {}
    for file in RULES.glob("*.yml"):
        for group in yaml.safe_load(file.read_text(encoding="utf-8")).get("groups", ()):
            for rule in group["rules"]:
                if "alert" in rule:
                    section = rule["annotations"]["runbook_url"].partition("docs/runbook.md#")[2]
                    alerts.setdefault(section, []).append(rule["alert"])
    told = {
        anchor(title): re.findall(r"`(\w+)`", text.partition("**Alerts**:")[2].partition("**Dashboard**")[0])
        for title, text in SECTIONS.items()
    }

    assert alerts == {section: names for section, names in told.items() if names}


def test_dashboards() -> None:
    """Each section of an alert names dashboards, by the titles that they have."""
    boards = (PROJECT_ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    titles = {json.loads(board.read_text(encoding="utf-8"))["title"] for board in boards}
    for title, text in SECTIONS.items():
        named_here = re.findall(r'"([^"]+)"', "".join(re.findall(r"^\*\*Dashboard\*\*: (.*)$", text, re.MULTILINE)))
        assert ("**Alerts**" in text) == bool(named_here), title
        assert set() == set(named_here) - titles, title


def test_names_of_alerts() -> None:
    """Every alert that a page names is one of the rules'."""
    known = set(re.findall(r"- alert: (\w+)", "".join(file.read_text("utf-8") for file in RULES.glob("*.yml"))))
    for page in PAGES:
        assert set() == set(re.findall(r"\bLastLogin\w+", page.read_text("utf-8"))) - known, page


def named(text: str) -> Iterator[Sequence[str]]:
    """Words of the commands of ours in a page: in blocks and in sentences; of `plan|apply` both."""
    spans = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^(?: {4}|[#$] )?(lastlogin.*)$", text, re.MULTILINE)
    for command in [*re.findall(r"`(lastlogin[^`]*)`", spans), *lines]:
        words = re.split(r"\s+(?:[#>]|&&|\|\|)(?:\s|$)", command)[0].split()
        if words[0] in PROGRAMS:
            yield from product(*(word.split("|") for word in words))


def misfit(words: Sequence[str]) -> str | None:
    """The first word that is no command and no option there."""
    command: click.Command = PROGRAMS[words[0]]
    for word in words[1:]:
        if word.startswith("--"):
            if word.partition("=")[0] not in [
                name for each in command.params for name in each.opts + each.secondary_opts
            ]:
                return word
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            if word not in command.commands:
                return word
            command = command.commands[word]
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands(page: Path) -> None:
    """Every command that is named is there, with the options that it is given."""
    named_here = named(page.read_text("utf-8"))

    assert [] == [(" ".join(words), bad) for words in named_here if (bad := misfit(words)) is not None]


def test_what_is_no_command() -> None:
    """A misspelt command or option is found."""
    found = [misfit(words) for words in named("`lastlogin-producer drains` or\n`lastlogin schema plan|aply\n--json`")]

    assert ["drains", "--json", "aply"] == found
