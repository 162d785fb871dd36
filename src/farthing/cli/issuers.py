"""Issuers: `issuers add`, `list`, `remove`. Whose tokens a workspace takes, beside its API keys."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, say
from .reading import read_label, write_time
from .workspaces import PANEL

if TYPE_CHECKING:
    from farthing.core.people import Issuer
    from farthing.stores.issuers import Issuers

IssuerId = Annotated[str, typer.Argument(metavar="ISSUER_ID", help="Its id, as `farthing issuers list` shows it.")]


Preset = Annotated[
    str,
    typer.Option(
        "--preset", metavar="NAME", help="What is known of a provider: auth0, clerk or supabase. Needs --domain."
    ),
]
Domain = Annotated[
    str, typer.Option("--domain", metavar="HOST", help="Your domain at that provider, without https://.")
]
Algorithm = Annotated[
    str, typer.Option("--algorithm", metavar="NAME", help="How tokens are signed: HS256, RS256, ES256 or EdDSA.")
]
IssuerName = Annotated[
    str, typer.Option("--issuer", metavar="TEXT", help="What the tokens have as `iss`. May be left out with HS256.")
]
Audience = Annotated[
    str,
    typer.Option(
        "--audience", metavar="TEXT", help="What they have as `aud` (with clerk: as `azp`). May be left out with HS256."
    ),
]
JwksUrl = Annotated[
    str, typer.Option("--jwks-url", metavar="URL", help="Where the issuer publishes its keys; not for HS256.")
]
Claims = Annotated[
    list[str] | None,
    typer.Option(
        "--claim",
        metavar="WHAT=NAME",
        help="Where the tokens say it: one of username, email, role, type, audience, and the claim's name or a path "
        "with dots; nothing after = where they don't say it.",
    ),
]
Secret = Annotated[
    bool,
    typer.Option("--secret-stdin", help="Read the secret of HS256 from standard input. It never stands in a command."),
]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Whose tokens a workspace takes: of an auth service, or of a provider.")
    enter(
        group,
        "add",
        "$ pass show auth-secret | farthing issuers add auth --algorithm HS256 --secret-stdin",
        "$ farthing issuers add --preset auth0 --domain shop.eu.auth0.com --audience https://credits.shop.example",
        "$ farthing issuers add sso --algorithm RS256 --issuer https://sso.example.com --audience credits \\",
        "      --jwks-url https://sso.example.com/jwks.json --claim role=realm.role --claim type=",
    )(add)
    enter(group, "list", "$ farthing issuers list --json")(list_all)
    enter(group, "remove", "$ farthing issuers remove iss_0199... --yes")(remove)
    app.add_typer(group, name="issuers", rich_help_panel=PANEL)


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call it; with a preset it may be left out.")]
    = "",
    preset: Preset = "",
    domain: Domain = "",
    algorithm: Algorithm = "",
    issuer: IssuerName = "",
    audience: Audience = "",
    jwks_url: JwksUrl = "",
    secret_stdin: Secret = False,
    claim: Claims = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Take the tokens of an issuer from now on: every server does within a second.

    How a token is verified is fixed here; a token can't choose its algorithm or its key. One secret, or one issuer and
    audience, belongs to one workspace: it says whose workspace a token is for.
    """
    from farthing.identity.presets import BadIssuer, Wanted, issuer_of
    from farthing.stores.access import AccessError

    label = read_label(name, "name", 255) if name else ""
    claims = _claims(claim or [])
    wanted = Wanted(
        name=label, preset=preset, domain=domain, algorithm=algorithm, issuer=issuer, audience=audience,
        jwks_url=jwks_url, secret=_secret() if secret_stdin else "", claims=claims,
    )  # fmt: skip
    with at_desk(db, workspace) as desk:
        act = desk.act()
        try:
            made = desk.ledger.wait(_issuers(desk).add(issuer_of(wanted, desk.workspace.id, act.at), act))
        except BadIssuer as bad:
            raise _told(bad.problems[0]) from bad
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO) from error
    text = f"{made.id}: tokens of {made.name} ({made.algorithm}) are taken"
    return Answer(issuer_facts(made) | {"workspace": made.workspace}, text)


def _told(problem: tuple[str, str]) -> Trouble:
    field, why = problem
    if field == "secret" and why.startswith("is missing"):
        why += "; give it on standard input, with --secret-stdin"
    return invalid(field.replace("_", "-") if field == "jwks_url" else field, why)


def _claims(given: list[str]) -> dict[str, str]:
    """What was said of claims, by what they are for."""
    found = {}
    for text in given:
        what, equals, claim = text.partition("=")
        if not equals:
            raise usage(f"--claim is such as role=app_metadata.role, not {text!r}")
        found[what] = claim
    return found


def _secret() -> str:
    if sys.stdin.isatty():
        say("paste the secret; Ctrl+D ends")
    try:
        return sys.stdin.buffer.read(10_000).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise invalid("secret", "must be text: encode bytes as the issuer does, such as in base64") from error


def _issuers(desk: Desk) -> "Issuers":
    from farthing.stores.issuers import Issuers

    return Issuers(desk.ledger.database)


def issuer_facts(issuer: "Issuer") -> dict[str, Any]:
    """An issuer as it may be shown."""
    from msgspec.structs import asdict

    return {
        "id": issuer.id, "name": issuer.name, "algorithm": issuer.algorithm, "issuer": issuer.issuer or None,
        "audience": issuer.audience or None, "jwks_url": issuer.jwks_url or None,
        "claims": {name: claim or None for name, claim in asdict(issuer.claims).items()},
        "created_at": write_time(issuer.created_at),
    }  # fmt: skip


def list_all(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """The issuers of a workspace, oldest first. Secrets are never shown."""
    with at_desk(db, workspace) as desk:
        facts = [issuer_facts(issuer) for issuer in desk.ledger.wait(_issuers(desk).of(desk.workspace.id))]
    rows = [("ID", "NAME", "SIGNED", "ISSUER", "AUDIENCE")]
    rows += [(f["id"], f["name"], f["algorithm"], f["issuer"] or "-", f["audience"] or "-") for f in facts]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows))


def remove(id: IssuerId, yes: Yes = False, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Take an issuer's tokens no more; every server refuses them within a second."""
    with at_desk(db, workspace) as desk:
        known = {issuer.id: issuer for issuer in desk.ledger.wait(_issuers(desk).of(desk.workspace.id))}
        if id not in known:
            message = f"the workspace {desk.workspace.id} has no issuer {id!r}; `farthing issuers list` shows them"
            raise Trouble("issuer_not_found", message, Exit.NO)
        confirm(f"Refuse all tokens of {id} {known[id].name!r} from now on?", yes)
        gone = desk.ledger.wait(_issuers(desk).remove(desk.workspace.id, id, desk.act()))
    return Answer(issuer_facts(gone) | {"workspace": gone.workspace}, f"tokens of {gone.name} are not taken any more")
