"""A part of a composite text such as ORDER#4711#2, by a template: `ORDER#{order_id}#{line}`.

A placeholder stands for one or more characters. It ends where the text after it begins, so none of the template's
placeholders stands for a character with which such a text begins: each text fits in at most one way.

Belongs here: what a template is. Does not belong here: cutting a text (silver.source_format).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

from pydantic import AfterValidator

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class Template:
    """A template that was read: the texts around its placeholders, one more than there are `names`."""

    names: tuple[str, ...]
    texts: tuple[str, ...]

    @cached_property
    def ends(self) -> str:
        """The characters that no placeholder stands for, each once."""
        return "".join(sorted({text[0] for text in self.texts[1:] if text}))


def parse_template(text: str) -> Template:
    """Return the template that a contract writes as `text`. Raises ValueError that says what was expected."""
    parts = _PLACEHOLDER.split(text)
    template = Template(tuple(parts[1::2]), tuple(parts[::2]))
    if not template.names or any("{" in part or "}" in part for part in template.texts):
        raise ValueError(f"{text!r:.160}: expected a template with placeholders, like 'ORDER#{{order_id}}#{{line}}'")
    if wrong := [name for name in template.names if not _NAME.fullmatch(name)]:
        raise ValueError(f"{text!r:.160}: {wrong[0]!r} is no name of a placeholder; expected letters, digits and _")
    if len(set(template.names)) < len(template.names):
        raise ValueError(f"{text!r:.160}: a placeholder stands twice; expected each name once")
    for at, between in enumerate(template.texts[1:-1]):
        if not between:
            one, other = template.names[at : at + 2]
            raise ValueError(
                f"{text!r:.160}: nothing stands between {{{one}}} and {{{other}}}, so nobody can know where one ends; "
                "expected a text between them"
            )
    return template


def _checked(text: str) -> str:
    parse_template(text)
    return text


TemplateText = Annotated[str, AfterValidator(_checked)]
"""A template as a pydantic field."""
