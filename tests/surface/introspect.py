"""Print the public surface of a module as JSON. Runs in the environment of the module it looks at.

Only what the given package defines counts: names a module imported by accident do not.
"""

import enum
import importlib
import inspect
import json
import sys
from typing import Any


def describe(module_name: str, package: str) -> dict[str, Any]:
    module = importlib.import_module(module_name)
    surface: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, str):
            surface[name] = {"constant": value}
        elif inspect.isclass(value) and value.__module__.startswith(package):
            surface[name] = describe_class(value, package)
    return surface


def describe_class(kind: type, package: str) -> dict[str, Any]:
    if issubclass(kind, enum.Enum):
        return {"enum": {member.name: member.value for member in kind}}
    own = [base for base in kind.__mro__ if base.__module__.startswith(package)]
    members = sorted({name for base in own for name in vars(base) if not name.startswith("_")})
    return {
        "parameters": parameters(kind),
        "file": any(base.__name__ == "IOBase" for base in kind.__mro__),
        "members": {name: describe_member(kind, name, package) for name in members},
        "values": initial_values(kind, members),
    }


def describe_member(kind: type, name: str, package: str) -> dict[str, Any]:
    value = inspect.getattr_static(kind, name)
    if isinstance(value, property):
        return {"property": True, "settable": value.fset is not None}
    if isinstance(value, type):
        return describe_class(value, package)
    if isinstance(value, staticmethod) or inspect.isfunction(value):
        return {"parameters": parameters(getattr(kind, name))}
    return {"attribute": True}


def parameters(value: Any) -> list[list[str]]:
    """Name, default and, where it is not the ordinary one, kind of each parameter but ``self``."""
    found: list[list[str]] = []
    for each in inspect.signature(value).parameters.values():
        if each.name == "self":
            continue
        default = "" if each.default is inspect.Parameter.empty else printed(each.default)
        kind = "" if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else each.kind.name
        found.append([each.name, default, kind])
    return found


def printed(default: Any) -> str:
    return f"{type(default).__name__}.{default.name}" if isinstance(default, enum.Enum) else repr(default)


def initial_values(kind: type, members: list[str]) -> dict[str, Any]:
    """The public attributes of a plain value made with as few arguments as possible."""
    required = [name for name, default, kind in parameters(kind) if not default and not kind]
    try:
        made = kind(*required)
    except (TypeError, ValueError):
        return {}
    fields = [name for name in members if not isinstance(getattr(kind, name), property)]
    names = {name for name in [*fields, *getattr(made, "__dict__", {})] if not name.startswith("_")}
    values = {name: getattr(made, name) for name in names}
    return {name: plain(value) for name, value in values.items() if not callable(value)}


def plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return value if isinstance(value, str | int | list | dict | None) else type(value).__name__


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1], sys.argv[2]), indent=1, sort_keys=True))
