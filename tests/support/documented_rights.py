"""The rights that the documentation tells operators to give, read from its own commands."""

import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from lastlogin_stack.layout import PROJECT_ROOT
from tests.support.secured_kafka import Right


_README = PROJECT_ROOT / "README.md"
# Kafka's name for what --cluster means.
_CLUSTER = "kafka-cluster"
_KINDS = {"--topic": "topic", "--group": "group"}


def kafka_rights(user: str, *pages: Path) -> list[Right]:
    """What the `kafka-acls.sh` commands of these pages (without any: of README.md) give to `user`."""
    return [
        right
        for page in pages or (_README,)
        for command in _commands(page)
        if f"User:{user}" in command
        for right in _granted(command)
    ]


def cassandra_rights(role: str) -> list[str]:
    """The GRANT statements of README.md for `role`."""
    return re.findall(rf"^GRANT .* TO {role}(?=;$)", _README.read_text("utf-8"), re.MULTILINE)


def _commands(page: Path) -> Iterator[list[str]]:
    for line in page.read_text("utf-8").replace("\\\n", " ").splitlines():
        if line.lstrip().startswith(("$acl ", "kafka-acls.sh ")):
            yield shlex.split(line, comments=True)


def _granted(command: list[str]) -> Iterator[Right]:
    options = list(zip(command, [*command[1:], ""], strict=True))
    operations = [value.upper() for option, value in options if option == "--operation"]
    resources = [(_KINDS[option], value) for option, value in options if option in _KINDS]
    resources += [("cluster", _CLUSTER)] * ("--cluster" in command)
    for operation, (kind, name) in product(operations, resources):
        # Kafka's AclOperation spells DescribeConfigs DESCRIBE_CONFIGS.
        spelt = {"DESCRIBECONFIGS": "DESCRIBE_CONFIGS", "ALTERCONFIGS": "ALTER_CONFIGS"}.get(operation, operation)
        yield Right(spelt, kind, name, prefixed="prefixed" in command)
