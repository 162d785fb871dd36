"""Farthing: an exact, durable credit ledger for AI products."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("farthing")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
