"""Dovecot's configuration files as they are written: settings and blocks, with their lines. Pure."""

import re
from dataclasses import dataclass, field


_SETTING = re.compile(r"([^\s={}]+)\s*=\s*(.*)")
_BLOCK = re.compile(r"([^\s={}]+)(?:\s+([^\s{]+|\"[^\"]*\"))?\s*\{")
# What stands outside of quotes up to a comment: lib/settings.c cuts the line there, as 2.4's parser does.
_UNCOMMENTED = re.compile(r"(?:[^#'\"]|'(?:\\.|[^'\\])*(?:'|$)|\"(?:\\.|[^\"\\])*(?:\"|$))*")


class MapError(Exception):
    """The file cannot be taken on; what is wrong in which line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is not carried over, or that a person must look after; `line` 0: of the file as a whole."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Setting:
    """`name = value`."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """`kind name { ... }`; `name` is empty where there is none."""

    kind: str
    name: str
    line: int
    settings: list[Setting] = field(default_factory=list)
    blocks: list["Block"] = field(default_factory=list)

    def setting(self, *names: str) -> Setting | None:
        """The last of the settings of these names: it is the one that counts."""
        return next((each for each in reversed(self.settings) if each.name in names), None)


def parse(text: str) -> Block:
    """Read a file: its settings and blocks, in a block of no kind. Raises `MapError`."""
    stack = [Block("", "", 0)]
    joined, begun = "", 0
    for number, each in enumerate(text.splitlines(), 1):
        found = _UNCOMMENTED.match(each)
        content = (found[0] if found else "").strip()
        begun = begun or number
        if content.endswith("\\"):
            joined += content[:-1].rstrip() + " "
            continue
        line, joined, start, begun = (joined + content).strip(), "", begun, 0
        if line:
            _take(line, start, stack)
    if joined:
        raise MapError(begun, "the last line is to be continued")
    if len(stack) > 1:
        raise MapError(stack[-1].line, f"the block {stack[-1].kind} has no end")
    return stack[0]


def _take(line: str, number: int, stack: list[Block]) -> None:
    if line == "}":
        if len(stack) == 1:
            raise MapError(number, "} without a block")
        stack.pop()
    elif found := _BLOCK.fullmatch(line):
        block = Block(found[1], _unquoted(found[2] or ""), number)
        stack[-1].blocks.append(block)
        stack.append(block)
    elif found := _SETTING.fullmatch(line):
        stack[-1].settings.append(Setting(found[1], _unquoted(found[2]), number))
    elif line.startswith("!include"):
        name, _, value = line.partition(" ")
        stack[-1].settings.append(Setting(name, value.strip(), number))
    else:
        # What stands there is not repeated: it may be the rest of a password.
        raise MapError(number, "is no setting (name = value), block (name {) or its end (})")


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value
