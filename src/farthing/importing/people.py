"""People: a line of type user, as the record of somebody who signs in."""

from farthing.core.people import User, read_role
from farthing.identity.forms import NOT_YET, email_error
from farthing.identity.passwords import hash_error

from . import values as read
from .asking import Into
from .form import UserLine, Wrong


def user(line: UserLine, into: Into) -> User:
    """Who it is. His name need not be one that could be registered here: he had it before."""
    role = read_role(line.role)
    if role is None:
        raise Wrong("role", f"must be user, supervisor or admin, not {line.role[:40]!r}")
    name, email, password = line.username or "", line.email or "", line.password or ""
    if name and "@" in read.name(name, "username"):
        raise Wrong("username", "must have no @: it would be taken for an address")
    if email and (wrong := email_error(email)):
        raise Wrong("email", wrong)
    if password and password != NOT_YET and (wrong := hash_error(password)):
        raise Wrong("password", wrong)
    if password and not (name or email):
        raise Wrong("username", "or email is needed: nobody signs in without")
    made = read.past(line.created_at, "created_at", into.now_us) or into.now_us
    return User(
        into.workspace, read.name(line.id, "id"), name, email, role, line.verified, password, made, made
    )  # fmt: skip
