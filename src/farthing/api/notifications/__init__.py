"""Where providers of payments send what has happened."""

from .face import Notifications

__all__ = ["Notifications"]
