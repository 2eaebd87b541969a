"""The only changes an example may undergo before it runs, and the check that each is what it claims."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

_MADE_UP = re.compile(r""""your_(?:access_id|secret_access_key|project|endpoint)"|["']blob_ref_\w+["']|100""")
_IMPORT = re.compile(r"from odps(?:\.apis\.storage_api_v2)? import (\w+)\n")
_LOOP = re.compile(r"for (.+) in (.+):")
_SLEEP = re.compile(r"time\.sleep\(([0-9.]+)\)")


class Kind(Enum):
    """What a substitution may be."""

    #: Arguments for the `...` of a call or a list.
    ARGUMENTS = auto()
    #: A name of the scene for an id, version or address that the text made up.
    PLACEHOLDER = auto()
    #: An import for a name that the text uses and never imports.
    IMPORT = auto()
    #: The loop variable that a loop's body uses and its head forgot.
    LOOP_VARIABLE = auto()
    #: A shorter sleep.
    SLEEP = auto()


@dataclass(frozen=True)
class Substitution:
    """`new` for the first `old` that is left in the text; an import has no `old` and goes to the start."""

    kind: Kind
    old: str
    new: str


def arguments(old: str, given: str) -> Substitution:
    """`arguments("write(...)", "data, 1")`: the `...` of `old` filled in."""
    return Substitution(Kind.ARGUMENTS, old, old.replace("...", given))


def placeholder(old: str, new: str) -> Substitution:
    return Substitution(Kind.PLACEHOLDER, old, new)


def missing_import(module: str, name: str) -> Substitution:
    return Substitution(Kind.IMPORT, "", f"from {module} import {name}\n")


def applied(substitutions: Iterable[Substitution], text: str) -> str:
    """The text as it runs. Raises `ValueError` for what is not in it."""
    for each in substitutions:
        if each.old not in text:
            raise ValueError(f"{each.old!r} is not in the example")
        new = f">>> {each.new}" if each.kind is Kind.IMPORT else each.new
        text = text.replace(each.old, new, 1)
    return text


def objection(substitution: Substitution, source: str) -> str | None:
    """Why the substitution is not of the kind it claims, in the `source` of an example; None if it is."""
    return _CHECKS[substitution.kind](substitution, source)


def _arguments(it: Substitution, _: str) -> str | None:
    head, found, tail = it.old.partition("...")
    if not found or "..." in tail:
        return "it must hold `...` once"
    if head[-1:] + tail[:1] not in ("()", "[]"):
        return "`...` must be all that a call or list holds"
    if not (it.new.startswith(head) and it.new.endswith(tail)):
        return "it changes more than `...`"
    filled = it.new.removeprefix(head).removesuffix(tail)
    call = _parsed(f"f({filled})")
    called = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    if not called or not (call.args or call.keywords):
        return f"{filled!r} are no arguments"
    return None


def _placeholder(it: Substitution, _: str) -> str | None:
    if not _MADE_UP.fullmatch(it.old):
        return "the text did not make it up"
    tree = _parsed(it.new)
    if isinstance(tree, ast.Subscript):
        tree = tree.value if isinstance(tree.slice, ast.Constant) else None
    return None if isinstance(tree, ast.Name) else "its replacement must be a name of the scene"


def _import(it: Substitution, source: str) -> str | None:
    match = _IMPORT.fullmatch(it.new)
    if it.old or match is None:
        return "it must add one import of one name of the client"
    nodes = list(ast.walk(ast.parse(source)))
    imports = (ast.Import, ast.ImportFrom)
    imported = {
        alias.asname or alias.name for node in nodes if isinstance(node, imports) for alias in node.names
    }
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    if match[1] in imported:
        return f"{match[1]} is imported already"
    return None if match[1] in used else f"{match[1]} is not used"


def _loop_variable(it: Substitution, source: str) -> str | None:
    old, new = _LOOP.fullmatch(it.old), _LOOP.fullmatch(it.new)
    if old is None or new is None or new[2] != f"enumerate({old[2]})":
        return "it must enumerate the same loop"
    name = re.fullmatch(rf"(\w+), \({re.escape(old[1])}\)", new[1])
    if name is None:
        return "it must add one loop variable"
    names = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id == name[1]
    ]
    if not names or any(isinstance(node.ctx, ast.Store) for node in names):
        return f"{name[1]} must be used, and set nowhere"
    return None


def _sleep(it: Substitution, _: str) -> str | None:
    old, new = _SLEEP.fullmatch(it.old), _SLEEP.fullmatch(it.new)
    if old is None or new is None:
        return "both must be a sleep"
    return None if 0 < float(new[1]) < float(old[1]) else "it must be shorter"


def _parsed(expression: str) -> ast.expr | None:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError:
        return None


_CHECKS = {
    Kind.ARGUMENTS: _arguments,
    Kind.PLACEHOLDER: _placeholder,
    Kind.IMPORT: _import,
    Kind.LOOP_VARIABLE: _loop_variable,
    Kind.SLEEP: _sleep,
}
