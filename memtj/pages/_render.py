"""Self-contained pages from the templates."""

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def render_page(template: str, **values: Any) -> str:
    """Render one of the templates of this package."""
    environment = Environment(
        loader=PackageLoader("memtj.pages"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
