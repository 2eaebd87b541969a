"""XML built and read, for REST only. Reading refuses document types and entities altogether."""

from __future__ import annotations

import re
from typing import NoReturn
from xml.etree import ElementTree as ET
from xml.parsers import expat

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_XML_DEPTH

# Characters that XML 1.0 cannot hold in any form.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(tag: str, text: str | None, *children: ET.Element, **attributes: str) -> ET.Element:
    """Return an element with text (what XML cannot hold is replaced), children and attributes."""
    made = ET.Element(tag, {name: _clean(value) for name, value in attributes.items()})
    made.text = None if text is None else _clean(text)
    made.extend(children)
    return made


def document(root: ET.Element) -> bytes:
    """Serialise a document in UTF-8 with its declaration."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def parse(body: bytes) -> ET.Element:
    """Read a document. Raises InvalidArgument if it is malformed, too deep, or declares a document type.

    Without declarations there are no entities to expand or to fetch; the caller bounds the size.
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=None)
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_XML_DEPTH:
            raise invalid_argument(f"the XML body nests deeper than {MAX_XML_DEPTH} levels")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as error:
        raise invalid_argument(f"the request body is not valid XML: {error}") from error


def _refuse_doctype(*_: object) -> NoReturn:
    raise invalid_argument("the XML body declares a document type; send it without one")
