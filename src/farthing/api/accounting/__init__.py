"""The accounting dialect: `face` is how the application sees it, the other files are its words."""

from .face import Accounting

__all__ = ["Accounting"]
