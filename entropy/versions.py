"""Which versions of packages made a file."""


def installed_version(distribution: str) -> str:
    """Give the version of an installed distribution; "" where there is none of that name."""
    from importlib.metadata import PackageNotFoundError, version  # slow to load, and seldom asked

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
