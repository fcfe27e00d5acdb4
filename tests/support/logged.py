"""What the code logs, read off its calls: actions with their levels and keys."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lastlogin_stack.layout import PROJECT_ROOT


SOURCES = ("producer", "consumer", "service", "ops")
_LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error", "critical": "critical"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Logged:
    """One call of a part of the source.

    `level` is None where the call chooses it; `whole` is False where it is passed keys from elsewhere.
    """

    part: str
    action: str
    level: str | None
    keys: frozenset[str]
    whole: bool


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """A function that logs for others: its first argument is the action, and its keywords are keys."""

    path: Path
    level: str
    keys: frozenset[str]


@cache
def all_logged() -> tuple[Logged, ...]:
    """Every call of ours."""
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for source in SOURCES
        for path in sorted((PROJECT_ROOT / source).rglob("*.py"))
    }
    wrappers: dict[str, list[_Wrapper]] = {}
    for path, tree in trees.items():
        for function, call in _calls(tree):
            if function is not None and _is_wrapper(function, call):
                wrapper = _Wrapper(path, _level(call) or "", _keys(call))
                wrappers.setdefault(function.name, []).append(wrapper)
    return tuple(each for path, tree in trees.items() for each in _logged(path, tree, wrappers))


def _logged(path: Path, tree: ast.Module, wrappers: dict[str, list[_Wrapper]]) -> Iterator[Logged]:
    part = path.relative_to(PROJECT_ROOT).parts[0]
    for function, call in _calls(tree):
        whole = all(keyword.arg is not None for keyword in call.keywords)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if ast.unparse(call.func) == "audit_trail.tell":
            yield Logged("commands", _constant(call.args[1]), "info", _keys(call) | {"by"}, whole)
        elif (action := _keyword(call, "action")) is not None:
            if function is None or not _is_wrapper(function, call):
                yield Logged(part, _constant(action), _level(call), _keys(call), whole)
        elif candidates := [each for each in wrappers.get(name, ()) if each.path.is_relative_to(PROJECT_ROOT / part)]:
            # Those of this file go before others of that name.
            chosen = next((each for each in candidates if each.path == path), candidates[0])
            keys = chosen.keys | _keys(call)
            yield Logged(part, _constant(call.args[0]), chosen.level, keys, whole)


def _calls(tree: ast.Module) -> Iterator[tuple[Function | None, ast.Call]]:
    """Every call, and the innermost function around it."""

    def below(node: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield function, child
            yield from below(child, child if isinstance(child, Function) else function)

    return below(tree, None)


def _is_wrapper(function: Function, call: ast.Call) -> bool:
    action = _keyword(call, "action")
    return isinstance(action, ast.Name) and action.id in [argument.arg for argument in function.args.args]


def _level(call: ast.Call) -> str | None:
    return _LEVELS[call.func.attr] if isinstance(call.func, ast.Attribute) else None


def _keys(call: ast.Call) -> frozenset[str]:
    return frozenset(keyword.arg for keyword in call.keywords if keyword.arg) - {"action", "exc_info"}


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _constant(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return str(node.value)
