"""Farthing: an exact, durable credit ledger for AI products."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: the import machinery behind it costs a command 40 ms."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("farthing")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
