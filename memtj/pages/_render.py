"""Self-contained pages from the templates."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """A cell of a table that looks otherwise than its neighbours: `css` names its class in the style sheet."""

    text: str
    css: str

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        return Markup.escape(self.text)


def failing(text: str, bad: bool) -> Cell:
    """Give a cell that catches the eye where something is bad."""
    return Cell(text, "bad" if bad else "")


def code(text: str) -> Markup:
    """Set a text as it is to be typed."""
    return Markup("<code>{}</code>").format(text)


def render_page(template: str, **values: Any) -> str:
    """Render one of the templates of this package; base.html says what each of them takes."""
    environment = Environment(
        loader=PackageLoader("memtj.pages"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
