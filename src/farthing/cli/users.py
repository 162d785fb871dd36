"""Users: `users create`, `list`, `show`, `role`, `password`, `remove`, `sessions`, `logout`. The first admin comes from
here, never from an open door. Servers follow within a second; each change is in the audit log.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, pairs
from .reading import write_time
from .workspaces import PANEL

if TYPE_CHECKING:
    from farthing.core.people import Role, User
    from farthing.stores.logins import Logins
    from farthing.stores.users import Users

PAGE = 1_000

Who = Annotated[str, typer.Argument(metavar="USER", help="Who: by id, name or e-mail address.")]
RoleName = Annotated[str, typer.Option("--role", metavar="ROLE", help="user, supervisor or admin.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input: one line, never an option.")
]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="People of a workspace, who sign in with a password or come with tokens of elsewhere.")
    enter(
        group,
        "create",
        "$ pass show farthing/anna | farthing users create anna --email anna@example.com --role admin --password-stdin",
        "$ farthing users create ben --email ben@example.com --json    (he sets his password by mail)",
    )(create)
    enter(group, "list", "$ farthing users list --json")(list_all)
    enter(group, "show", "$ farthing users show anna@example.com")(show)
    enter(group, "role", "$ farthing users role anna supervisor")(change_role)
    enter(group, "password", "$ pass show farthing/anna | farthing users password anna --password-stdin")(password)
    enter(group, "remove", "$ farthing users remove anna --yes")(remove)
    enter(group, "sessions", "$ farthing users sessions anna")(sessions)
    enter(group, "logout", "$ farthing users logout anna")(logout)
    app.add_typer(group, name="users", rich_help_panel=PANEL)


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with.")],
    email: Annotated[str, typer.Option("--email", metavar="ADDRESS", help="His e-mail address.")],
    role: RoleName = "user",
    password_stdin: PasswordStdin = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="He has to verify the address before he can sign in.")
    ] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make a user who signs in here, the first admin included. His address counts as verified."""
    from farthing.identity.forms import NOT_YET
    from farthing.identity.login import new_user

    _check_names(name, email)
    chosen = _read_role(role)
    hashed = _hash(_read_password()) if password_stdin else NOT_YET
    with at_desk(db, workspace) as desk:
        act = desk.act()
        user = new_user(desk.workspace.id, name, email, hashed, act.at, verified=not unverified)
        user.role = chosen
        _carried_out(desk, _users(desk).create(user, act, ""))
        facts = _facts(user) | {"workspace": desk.workspace.id}
    notes = (
        () if password_stdin else ("he has no password yet: one is set through forgot-password, or by this command",)
    )
    return Answer(facts, f"{user.id} is {user.username}, {user.role}", notes=notes)


def list_all(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """All users, oldest first."""
    with at_desk(db, workspace) as desk:
        facts = [_facts(user) for user in _all(desk)]
    rows = [("ID", "NAME", "E-MAIL", "ROLE", "VERIFIED", "SIGNS IN")]
    rows += [
        (f["id"], f["username"], f["email"], f["role"], "yes" if f["verified"] else "no", f["signs_in"]) for f in facts
    ]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows))


def show(who: Who, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """One user."""
    with at_desk(db, workspace) as desk:
        facts = _facts(_find(desk, who))
    return Answer(facts | {"workspace": desk.workspace.id}, pairs({name: str(value) for name, value in facts.items()}))


def change_role(
    who: Who,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="user, supervisor or admin.")],
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Give a user another role. It counts at once, and his sessions end."""
    chosen = _read_role(role)
    with at_desk(db, workspace) as desk:
        user = _find(desk, who)
        before = user.role
        user = _carried_out(desk, _users(desk).set_role(desk.workspace.id, user.id, chosen, desk.act(), ""))
    notes = () if user.password else ("he signs in elsewhere: his next token says which role he has",)
    facts = _facts(user) | {"workspace": desk.workspace.id, "before": before}
    return Answer(facts, f"{user.username} is {user.role} (was {before})", notes=notes)


def password(
    who: Who, password_stdin: PasswordStdin = False, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:
    """Set a user's password, read from standard input. His sessions end."""
    if not password_stdin:
        raise invalid("password", "must come from standard input: add --password-stdin")
    hashed = _hash(_read_password())
    with at_desk(db, workspace) as desk:
        user = _find(desk, who)
        if not user.password:
            message = f"{user.username} signs in elsewhere: his password is set there"
            raise Trouble("signs_in_elsewhere", message, Exit.NO)
        _carried_out(desk, _logins(desk).set_password(user, hashed, desk.act()))
    return Answer(_facts(user) | {"workspace": desk.workspace.id}, f"{user.username} has a new password")


def remove(who: Who, yes: Yes = False, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Remove a user. His sessions end; the ledger keeps his account and its entries."""
    with at_desk(db, workspace) as desk:
        user = _find(desk, who)
        confirm(f"Remove the user {user.username} ({user.id}) for good?", yes)
        _carried_out(desk, _users(desk).remove(desk.workspace.id, user.id, desk.act(), ""))
    return Answer(_facts(user) | {"workspace": desk.workspace.id}, f"{user.username} is removed")


def sessions(who: Who, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """A user's live sessions, oldest first."""
    with at_desk(db, workspace) as desk:
        user = _find(desk, who)
        live = desk.ledger.wait(_logins(desk).sessions(desk.workspace.id, user.id, desk.now_us()))
    data = [
        {
            "id": each.id, "created_at": write_time(each.created_at), "used_at": write_time(each.used_at),
            "expires_at": write_time(each.expires_at), "refreshed": each.turn - 1,
        }
        for each in live
    ]  # fmt: skip
    rows: list[Sequence[str]] = [("ID", "SINCE", "LAST USED", "UNTIL")]
    rows += [tuple(str(each[name]) for name in ("id", "created_at", "used_at", "expires_at")) for each in data]
    return Answer({"workspace": desk.workspace.id, "user": user.id, "data": data}, columns(rows))


def logout(who: Who, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """End all sessions of a user, everywhere within a second."""
    with at_desk(db, workspace) as desk:
        user = _find(desk, who)
        ended = _carried_out(desk, _logins(desk).end_all(desk.workspace.id, user.id, desk.act(), ""))
    text = f"{ended} sessions of {user.username} ended"
    return Answer({"workspace": desk.workspace.id, "user": user.id, "ended": ended}, text)


# What they have in common


def _users(desk: Desk) -> "Users":
    from farthing.stores.users import Users

    return Users(desk.ledger.database)


def _logins(desk: Desk) -> "Logins":
    from farthing.stores.logins import Logins

    return Logins(desk.ledger.database)


def _all(desk: Desk) -> "list[User]":
    users, found = _users(desk), []
    page = desk.ledger.wait(users.page(desk.workspace.id, limit=PAGE))
    found += page.items
    while page.next is not None:
        page = desk.ledger.wait(users.page(desk.workspace.id, after=page.next, limit=PAGE))
        found += page.items
    return found


def _find(desk: Desk, who: str) -> "User":
    from farthing.core.commands import text_error

    found = None if text_error(who) else desk.ledger.wait(_users(desk).find(desk.workspace.id, who))
    if found is None:
        message = f"the workspace {desk.workspace.id} has no user {who!r}; `farthing users list` shows them"
        raise Trouble("user_not_found", message, Exit.NO)
    return found


def _carried_out(desk: Desk, work: Any) -> Any:
    """The result of a change; why there is none, in the words of the command line."""
    from farthing.stores.access import AccessError

    try:
        return desk.ledger.wait(work)
    except AccessError as error:
        raise Trouble(error.code, str(error), Exit.NO, **({"field": error.field} if error.field else {})) from error


def _check_names(name: str, email: str) -> None:
    from farthing.identity.forms import email_error, username_error

    checks: tuple[tuple[str, str, Callable[[str], str | None]], ...] = (
        ("name", name, username_error),
        ("email", email, email_error),
    )
    for field, text, error_of in checks:
        if wrong := error_of(text):
            raise invalid(field, wrong)


def _read_role(text: str) -> "Role":
    from farthing.core.people import read_role

    role = read_role(text)
    if role is None:
        raise invalid("role", f"must be user, supervisor or admin, not {text!r}")
    return role


def _read_password() -> str:
    """The line on standard input."""
    from getpass import getpass

    if sys.stdin.isatty():
        return _checked(getpass("Password: "))
    try:
        text = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise invalid("password", "must be UTF-8") from error
    return _checked(text)


def _checked(text: str) -> str:
    from farthing.identity.forms import password_error

    wrong = "must be one line" if "\n" in text else password_error(text)
    if wrong:
        raise invalid("password", wrong)
    return text


def _hash(password: str) -> str:
    from farthing.identity.passwords import Passwords

    return Passwords().hash_now(password)


def _facts(user: "User") -> dict[str, Any]:
    """A user as he may be shown."""
    from farthing.identity.forms import NOT_YET

    signs_in = (
        "elsewhere" if not user.password else "here" if user.password != NOT_YET else "here, once he has a password"
    )
    return {
        "id": user.id, "username": user.username, "email": user.email, "role": user.role, "verified": user.verified,
        "signs_in": signs_in, "created_at": write_time(user.created_at), "updated_at": write_time(user.updated_at),
    }  # fmt: skip
