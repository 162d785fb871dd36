"""The CountWerk dialect: `face` is how the application sees it, the other files are its words."""

from .face import CountWerk

__all__ = ["CountWerk"]
