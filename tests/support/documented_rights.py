"""The rights that the documentation tells operators to give, read from its own commands."""

import re
import shlex
from collections.abc import Iterator
from itertools import product

from lastlogin_stack.layout import PROJECT_ROOT
from tests.support.secured_kafka import Right


_README = PROJECT_ROOT / "README.md"
# Kafka's name for what --cluster means.
_CLUSTER = "kafka-cluster"
_KINDS = {"--topic": "topic", "--group": "group"}


def kafka_rights(user: str) -> list[Right]:
    """What the `kafka-acls.sh` commands of README.md give to `user`."""
    return [right for command in _commands() if f"User:{user}" in command for right in _granted(command)]


def cassandra_rights(role: str) -> list[str]:
    """The GRANT statements of README.md for `role`."""
    return re.findall(rf"^GRANT .* TO {role}(?=;$)", _README.read_text("utf-8"), re.MULTILINE)


def _commands() -> Iterator[list[str]]:
    for line in _README.read_text("utf-8").replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("$acl "):
            yield shlex.split(line, comments=True)


def _granted(command: list[str]) -> Iterator[Right]:
    options = list(zip(command, [*command[1:], ""], strict=True))
    operations = [value.upper() for option, value in options if option == "--operation"]
    resources = [(_KINDS[option], value) for option, value in options if option in _KINDS]
    resources += [("cluster", _CLUSTER)] * ("--cluster" in command)
    for operation, (kind, name) in product(operations, resources):
        # Kafka's AclOperation spells DescribeConfigs DESCRIBE_CONFIGS.
        spelt = {"DESCRIBECONFIGS": "DESCRIBE_CONFIGS", "ALTERCONFIGS": "ALTER_CONFIGS"}.get(operation, operation)
        yield Right(spelt, kind, name)
