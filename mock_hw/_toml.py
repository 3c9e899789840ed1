"""Files that a person writes: TOML, every key checked; what is wrong is one sentence that names file and key."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A table of such a file: a key that does not belong there, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_toml(path: Path, what: str, error: type[Exception]) -> dict[str, Any]:
    """The content of a file that messages call `what`; raises `error` where it cannot be had."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # Windows editors write a byte order mark
    except OSError as why:
        raise error(f"cannot read the {what} {path}: {why.strerror or why}") from why
    except UnicodeDecodeError as why:
        raise error(f"the {what} {path} is no text in UTF-8: save it as UTF-8") from why
    except tomllib.TOMLDecodeError as why:
        raise error(f"the {what} {path} is not valid TOML: {why}") from why


def explain(wrong: ValidationError, say: Callable[[Any], str]) -> str:
    """The first mistake, its key and what `say` makes of pydantic's details, and how many more there are."""
    # A key that does not belong here is often the misspelt one of those that are missing.
    first = min(wrong.errors(), key=lambda each: each["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {wrong.error_count() - 1} more)" if wrong.error_count() > 1 else ""
    return f"{where}{': ' if where else ''}{say(first)}{more}"


def message_of(details: Any) -> str:
    """Pydantic's message, our own as we wrote it."""
    return details["msg"].removeprefix("Value error, ")
