"""The login service: `face` is how the application sees it, the other files are its words."""

from .desk import LoginDesk
from .face import Login
from .hosts import Hosts
from .wherefrom import Wherefrom

__all__ = ["Hosts", "Login", "LoginDesk", "Wherefrom"]
