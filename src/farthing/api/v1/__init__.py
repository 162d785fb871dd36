"""The native API: `face` is how the application sees it, one file for each noun, `fields` and `problems` for all."""

from .cursors import Cursors
from .desk import Desk
from .face import V1

__all__ = ["V1", "Cursors", "Desk"]
