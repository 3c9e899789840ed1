"""Files that a person writes: TOML, every key checked; what is wrong is one sentence that names file and key."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

_M = TypeVar("_M", bound=BaseModel)


class Strict(BaseModel):
    """A table of such a file: a key that does not belong there, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_toml(
    path: Path,
    what: str,
    model: type[_M],
    error: type[Exception],
    say: Callable[[Any], str],
    prepare: Callable[[Any], Any] = lambda content: content,
    where: Callable[[Any], tuple[int | str, ...]] = lambda details: details["loc"],
) -> _M:
    """The content of a file that messages call `what`, `prepare`d and checked; raises `error` where it is not right.

    `say` makes a sentence of what pydantic found wrong first, and `where` the key that it is about.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))  # Windows editors write a byte order mark
        return model.model_validate(prepare(content))
    except OSError as why:
        raise error(f"cannot read the {what} {path}: {why.strerror or why}") from why
    except UnicodeDecodeError as why:
        raise error(f"the {what} {path} is no text in UTF-8: save it as UTF-8") from why
    except tomllib.TOMLDecodeError as why:
        raise error(f"the {what} {path} is not valid TOML: {why}") from why
    except ValidationError as why:
        raise error(f"the {what} {path} is wrong: {_explain(why, say, where)}") from why


def message_of(details: Any) -> str:
    """Pydantic's message, our own as we wrote it."""
    return details["msg"].removeprefix("Value error, ")


def _explain(
    wrong: ValidationError, say: Callable[[Any], str], locate: Callable[[Any], tuple[int | str, ...]]
) -> str:
    """The first mistake, its key and what `say` makes of pydantic's details, and how many more there are."""
    # A key that does not belong here is often the misspelt one of those that are missing.
    first = min(wrong.errors(), key=lambda each: each["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in locate(first))
    more = f" (and {wrong.error_count() - 1} more)" if wrong.error_count() > 1 else ""
    return f"{where}{': ' if where else ''}{say(first)}{more}"
