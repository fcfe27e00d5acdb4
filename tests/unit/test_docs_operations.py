"""docs/operations.md knows every reason of a dead letter, and shows tables of other shapes that are accepted."""

import re
from pathlib import Path

from lastlogin_consumer.decode import POISON_REASONS
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_docs.pages import DOCS
from lastlogin_ops.settings import OpsSettings
from lastlogin_schemas.table import ServiceColumns
from lastlogin_service.settings import load


PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"# {title}\n")[2].partition("\n## ")[0]


def test_tables_of_other_shapes(tmp_path: Path) -> None:
    """What the page shows of `[columns]` is accepted, by the consumer and by the command."""
    blocks = re.findall(r"```toml\n(.*?)```", section("The table"), re.DOTALL)
    found = []
    for block in blocks:
        file = tmp_path / "table.toml"
        file.write_text(block, encoding="utf-8")
        servers = {"CASSANDRA__CONTACT_POINTS": "c", "KAFKA__BOOTSTRAP_SERVERS": "k:9092"}
        consumer = load(
            ConsumerSettings, file, {f"LASTLOGIN_CONSUMER_{name}": value for name, value in servers.items()}
        )
        ops = load(OpsSettings, file, {f"LASTLOGIN_{name}": value for name, value in servers.items()})
        assert consumer.columns == ops.columns
        found.append(consumer.table)

    own, users, last_login = found
    assert ServiceColumns("last_login_managesieve", "remote_ip_managesieve") == own.services["managesieve"]
    assert ServiceColumns("last_delivery", "last_lmtp_ip") == users.services["lmtp"]
    assert ["userid", "service", "last_access", "last_ip"] == [name for name, _ in last_login.columns()]


def test_reasons_of_dead_letters() -> None:
    """Every reason of a dead letter is explained, and no other."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section("Dead letters"), re.MULTILINE)

    assert sorted(POISON_REASONS) == sorted(re.findall(r"`(\w+)`", " ".join(rows)))
