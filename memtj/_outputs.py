"""Where a command is to write: what cannot be written there is refused before the work, not after it."""

import os
from pathlib import Path

from memtj._errors import CommandError


def refuse_unwritable(folder: Path) -> None:
    """Raise CommandError where a folder is none, or could not be made or written in; makes nothing."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise CommandError(f"{folder} cannot be a folder, because {place} is a file: name another folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise CommandError(f"{folder} cannot be written ({place} is read-only): name another folder.")


def refuse_no_page(page: Path) -> None:
    """Raise CommandError where a page could not be written, or would take the place of a file that is none."""
    if page.is_dir():
        raise CommandError(f"{page} is a folder: name a file in it with --page.")
    if not page.absolute().parent.is_dir():
        raise CommandError(f"{page.parent} is no folder: name another page with --page.")
    refuse_unwritable(page.absolute().parent)
    if not page.exists():
        return
    with page.open("rb") as file:
        head = file.read(9)
    if head and head.lower() != b"<!doctype":
        raise CommandError(f"{page} exists and is no page: name another file with --page.")
    if not os.access(page, os.W_OK):
        raise CommandError(f"{page} is read-only: name another page with --page.")
