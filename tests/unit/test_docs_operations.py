"""docs/operations.md knows every action of the logs and every reason of a dead letter."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lastlogin_consumer.decode import POISON_REASONS
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_docs.pages import DOCS
from lastlogin_ops.settings import OpsSettings
from lastlogin_schemas.table import ServiceColumns
from lastlogin_service.settings import load
from lastlogin_stack.layout import PROJECT_ROOT


PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")
SOURCES = ("producer", "consumer", "service", "ops")
# Functions that log for others; the action is their first argument.
WRAPPERS = {"_say", "warn"}


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"# {title}\n")[2].partition("\n## ")[0]


def logged() -> Iterator[ast.expr]:
    """Whatever the code gives as an action, wrappers' own parameters left out."""
    for source in SOURCES:
        for path in (PROJECT_ROOT / source).rglob("*.py"):
            if path.name == "audit_trail.py":
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            inside = {
                node
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef) and function.name in WRAPPERS
                for node in ast.walk(function)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and node not in inside:
                    yield from (keyword.value for keyword in node.keywords if keyword.arg == "action")
                    if isinstance(node.func, ast.Attribute) and node.func.attr in WRAPPERS:
                        yield node.args[0]
                    elif ast.unparse(node.func) == "audit_trail.tell":
                        yield node.args[1]
                elif isinstance(node, ast.Dict):
                    yield from (v for k, v in zip(node.keys, node.values, strict=True) if _text(k) == "action")


def _text(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def test_actions() -> None:
    """The table of the logs has every action that is logged, once, and no other."""
    actions = {_text(action) for action in logged()}
    told = re.findall(r"^\| `(\w+)` \|", section("Logs"), re.MULTILINE)

    assert None not in actions
    assert sorted(map(str, actions)) == sorted(told)


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
