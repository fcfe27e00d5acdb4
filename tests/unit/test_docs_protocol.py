"""docs/protocol.md says what the code does."""

import re
from collections.abc import Iterator
from dataclasses import fields

from lastlogin_docs.pages import DOCS
from lastlogin_producer.dictproto import REFUSAL_REASONS, CommittedWrite, DictConnection, Limits
from lastlogin_producer.outcome import Outcome
from lastlogin_producer.server import ServerLimits
from lastlogin_producer.serving import CLOSE_REASONS
from lastlogin_schemas.event import MAX_SERVICE_BYTES, MAX_USER_BYTES, QUARANTINE_REASONS, LoginEvent
from tests.support.rules import event_rules


PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_limits() -> None:
    """The table of limits has every limit of a connection and of the server, with its value."""
    told = {name: float(value.replace(",", "")) for name, value in re.findall(r"\| `(\w+\.\w+)` \| ([\d.,]+) \|", PAGE)}

    assert told == {
        f"{type(limits).__name__}.{field.name}": getattr(limits, field.name)
        for limits in (Limits(), ServerLimits())
        for field in fields(limits)
        if field.name != "connection"
    }


def test_reasons_of_quarantine() -> None:
    """The table of the quarantine has every reason once, and the sizes in it are those of the code."""
    text = section("Quarantine")

    assert sorted(QUARANTINE_REASONS) == sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert f"{MAX_USER_BYTES:,} bytes" in text
    assert f"1 to {MAX_SERVICE_BYTES} bytes" in text


def test_reasons_of_refusals_and_closing() -> None:
    """Every reason that is counted is named."""
    assert [] == [reason for reason in (*REFUSAL_REASONS, *CLOSE_REASONS) if f"`{reason}`" not in PAGE]


def conversations() -> Iterator[list[str]]:
    """The lines of each conversation on the page."""
    for block in re.findall(r"```text\n(> .+?)```", PAGE, re.DOTALL):
        yield block.replace(r"\t", "\t").splitlines()


def test_conversations() -> None:
    """Each conversation on the page goes as it says, byte for byte, with a spool that stores everything."""
    played = list(conversations())
    for lines in played:
        connection = DictConnection({b"statsdb": "statsdb"}, Limits())
        answers = b""
        for line in lines:
            if not line.startswith("> "):
                continue
            for request in connection.receive_data(f"{line[2:]}\n".encode()):
                if isinstance(request, CommittedWrite):
                    connection.reply(request, Outcome.STORED)
            answers += connection.data_to_send()
        assert "".join(f"{line[2:]}\n" for line in lines if line.startswith("< ")) == answers.decode()

    assert 4 == len(played)


def test_precisions() -> None:
    """The digits of the table of precisions are those that are understood, and of no other number."""
    told = {int(digits) for digits in re.findall(r"^\| (\d+) \| \w", section("Precision"), re.MULTILINE)}
    rules = event_rules()
    understood = {
        digits
        for digits in range(1, 25)
        if isinstance(rules.interpret(_write(b"1795387910161000000000000"[:digits]), 0), LoginEvent)
    }

    assert told == understood


def _write(value: bytes) -> CommittedWrite:
    return CommittedWrite(b"test1", "statsdb", ((b"shared/last-login/imap/test1", value),))
