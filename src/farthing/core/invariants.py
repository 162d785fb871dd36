"""Invariants: an account's entries replayed; where one of them breaks a law, and what the rows must hold.

`Books` takes the entries of one account, first to last. It believes nothing but their bodies: from the
slices, grants, holds, debts and refunds it works out every sum again and holds it against what the entry says.
At the end it has the rows of the account, its grants, holds and charges as they must be; `agreement` says
where those that are stored differ.

In memory are the live grants and the names of live holds. All grants and holds there ever were, and the
charges with debt or refunds, are in three mappings, which the caller may keep on a disk; other charges are not
kept but looked up by `recall` when a refund names one.

A little over 400 lines: each law that an entry can break, in the order in which an entry is taken.
"""

from collections.abc import Callable, MutableMapping

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from . import burn
from .agreement import Problem
from .checkpoint import BOUGHT_WITH, TAKEN_BACK_US, Closed, Seal
from .context import Calendar
from .draft import HASH_VERSION, Digests, entry_hash, first_lapse, live
from .holds import PLACES, hold_id
from .ids import bucket_in, bucket_of
from .records import Account, AccountSettings, Body, Charge, Entry, Grant, GrantTerms, Hold, HoldTerms, Slice
from .refundable import CHARGES, charge_of, read_body, refundable
from .replay import changed, give_back, owing, placed, spend, unreturned
from .subscription import Subscription, renewal_key

_OF_SUBSCRIPTIONS = frozenset({"subscribe", "renew", "unsubscribe", "resume", "change", "end"})
Recall = Callable[[str], Entry | None]
"""Finds an entry by its id."""

_SPENDING = CHARGES | {"release", "close"}
"""Kinds that turn the page of a spend window, even when they spend nothing."""
_MAY_OWE = frozenset({"charge", "settle", "void", "adjust", "import", "clawback", "close"})
"""May leave debt above the allowance: shortfall `debt`, a payment taken back, an act marked `force`, what was owed to
another system."""


class Books:
    """One account, as its entries say."""

    def __init__(
        self, workspace: str, account: str, calendar: Calendar, recall: Recall, *,
        grants: MutableMapping[str, GrantTerms] | None = None, holds: MutableMapping[str, Hold] | None = None,
        charges: MutableMapping[str, Charge] | None = None,
    ) -> None:  # fmt: skip
        self._account = Account(workspace, account, bucket_of(workspace, account))
        self._calendar = calendar
        self._recall = recall
        self.grants: MutableMapping[str, GrantTerms] = {} if grants is None else grants
        self.holds: MutableMapping[str, Hold] = {} if holds is None else holds
        self.charges: MutableMapping[str, Charge] = {} if charges is None else charges
        self._live: dict[str, Grant] = {}
        self._open: set[str] = set()
        """Live holds."""
        self._pinned = 0
        self._scoped = 0
        self.subscription: Subscription | None = None
        self.sealed_grants = self.sealed_holds = Seal()
        """Of archived entries: closed before the first that is replayed."""
        self.last: Entry | None = None
        self._found: list[Problem] = []
        self.sound = True
        """Nothing was wrong with any entry."""
        self.lost = False
        """An entry is missing or can't be followed: what comes after it says nothing about the rows."""

    @property
    def number(self) -> int:
        """Of the last entry that was replayed."""
        return self._account.number

    def go_on(self, closed: Closed) -> None:
        """Forget all that was replayed: what is to come follows this."""
        for mapping in (self.grants, self.holds, self.charges):
            for id in list(mapping):
                del mapping[id]
        a = closed.account
        self._account = replace(a, grants=[])
        self.grants.update((terms.id, terms) for terms in closed.grants)
        self.holds.update((hold.id, hold) for hold in closed.holds)
        self.charges.update((charge.id, charge) for charge in closed.charges)
        self._live = {grant.id: grant for grant in a.grants}
        self._open = {hold.id for hold in closed.holds if hold.state == "live"}
        self._pinned = sum(grant.held for grant in a.grants)
        self._scoped = sum(grant.remaining for grant in a.grants if grant.scope)
        self.subscription = closed.subscription
        self.sealed_grants, self.sealed_holds = closed.sealed_grants, closed.sealed_holds
        self.last = Entry(
            a.workspace, a.id, a.bucket, a.number, closed.entry, "", 0, a.balance, a.held, a.debt, a.at, None, None, "",
            "", "", None, None, "{}", HASH_VERSION, a.head,
        )  # fmt: skip

    def close(self, at: int, changes: Callable[[GrantTerms | Hold], bool], staying: list[str]) -> Closed:
        """Seal what is over at an instant, and forget it, but for what an entry `changes` that comes after this; of
        charges forget what is neither owed nor `staying`. What is left is where the books go on."""
        assert self.last is not None, "of an account without entries there is nothing to close"
        back = {part.grant for id in staying for part in self.charges[id].slices}
        grants = [g for g in self.grants.values() if self._is_over(g, at) and g.id not in back and not changes(g)]
        holds = [h for h in self.holds.values() if h.id not in self._open and not changes(h)]
        self.sealed_grants, self.sealed_holds = self.sealed_grants.with_all(grants), self.sealed_holds.with_all(holds)
        for grant in grants:
            del self.grants[grant.id]
        for hold in holds:
            del self.holds[hold.id]
        for id in [id for id, charge in self.charges.items() if not charge.debt and id not in staying]:
            del self.charges[id]
        return Closed(
            self.row(), self.last.id, list(self.grants.values()), list(self.holds.values()),
            list(self.charges.values()), staying, self.subscription, self.sealed_grants, self.sealed_holds,
        )  # fmt: skip

    def _is_over(self, terms: GrantTerms, at: int) -> bool:
        may_go_back = terms.category == "paid" or BOUGHT_WITH in (terms.source or {})
        return terms.id not in self._live and not (may_go_back and terms.created_at + TAKEN_BACK_US > at)

    def row(self) -> Account:
        """The account's row as it must be."""
        grants = sorted(self._live.values(), key=burn.order)
        ends = [self.holds[hold].expires_at for hold in self._open]
        return replace(
            self._account, grants=grants, holds=len(self._open), lapse_at=first_lapse(grants),
            hold_due_at=min(ends, default=None),
        )  # fmt: skip

    # An entry

    def add(self, entry: Entry, erased: Digests | None = None) -> list[Problem]:
        """Replay the next entry; says what is wrong with it. Of texts that were erased there are their digests."""
        self._found = []
        follows = self._check_place(entry, erased)
        try:
            body = read_body(entry)
        except msgspec.DecodeError as error:
            self._lose(entry, f"its body can't be read ({error})")
        else:
            self._replay(entry, body, follows)
        a = self._account
        a.number, a.at, a.head, self.last = entry.number, entry.at, entry.hash, entry
        self.sound = self.sound and not self._found
        return self._found

    def _say(self, law: int, entry: Entry, what: str, expected: object = UNSET, found: object = UNSET) -> None:
        self._found.append(Problem(law, f"entry {entry.number}: {what}", expected, found))

    def _lose(self, entry: Entry, what: str) -> None:
        self._say(5, entry, what)
        self.lost = True

    def _check_place(self, entry: Entry, erased: Digests | None) -> bool:
        """Number, time, bucket and hash; False when it does not follow the one before."""
        a, follows = self._account, entry.number == self._account.number + 1
        if not follows:
            gap = f"entries {a.number + 1} to {entry.number - 1} are missing before it"
            self._lose(entry, gap if entry.number > a.number else f"it comes after number {a.number}")
        elif (entry.kind == "open") != (entry.number == 1):
            self._say(5, entry, f"it is of kind {entry.kind}; the first entry, and no other, opens the account")
        if entry.at < a.at:
            self._say(5, entry, "its time", f"{a.at} or later", entry.at)
        if {entry.bucket, bucket_in(entry.id)} != {a.bucket}:
            found = (entry.bucket, bucket_in(entry.id))
            self._say(5, entry, "the bucket of its row and of its id", (a.bucket, a.bucket), found)
        if (entry.key is None) != (entry.fingerprint is None):
            self._say(3, entry, "a key and a fingerprint belong together; it has one of them")
        if entry.version != HASH_VERSION:
            self._say(5, entry, "the version of its hashed form", HASH_VERSION, entry.version)
        elif follows and entry.hash != (right := entry_hash(entry, a.head, erased)):
            self._say(5, entry, "its hash (it or the entry before it was edited)", right, entry.hash)
        return follows

    def _replay(self, entry: Entry, body: Body, follows: bool) -> None:
        a = self._account
        before, over = (a.balance, a.held, a.debt), self._over()
        if body.settings is not None:
            self._change_settings(entry, body.settings)
        for terms in body.grants:
            self._give(entry, terms)
        for grant, amount in body.gone:
            self._change_terms(entry, grant, gone=amount)
        for grant in body.voided:
            self._change_terms(entry, grant, voided=True)
        for grant, amount in body.owed:
            self._change_terms(entry, grant, owed=amount)
        for grant, remaining, held in body.slices:
            self._move(entry, grant, remaining, held)
        if body.hold is not None:
            self._hold(entry, body, body.hold)
        self._owe(entry, body)
        if body.refunds:
            self._refund(entry, body)
        self._subscribe(entry, body.subscription)
        self._check_pins(entry, body)
        self._total(entry, body, a.balance - before[0])
        if follows:
            self._check_sums(entry, before)
        if entry.kind in CHARGES:
            self._check_spent(entry, body)
        self._check_floor(entry, body, over)
        self._turn_page(entry, body)

    def _total(self, entry: Entry, body: Body, change: int) -> None:
        a = self._account
        a.earned += body.earned
        a.spent += body.spent
        a.lapsed += body.lapsed
        a.written_off += body.written_off
        totals = body.earned - body.spent - body.lapsed - body.written_off
        if totals != change:
            self._say(5, entry, "earned - spent - lapsed - written off", change, totals)
        if body.scoped != self._scoped:
            self._say(5, entry, "the sum of scoped grants after it", self._scoped, body.scoped)

    def _check_sums(self, entry: Entry, before: tuple[int, int, int]) -> None:
        a, last = self._account, self.last
        changes = (a.balance - before[0], a.held - before[1], a.debt - before[2])
        told = (last.balance, last.held, last.debt) if last else (0, 0, 0)
        for name, change, was in zip(("balance", "held", "debt"), changes, told, strict=True):
            found, replayed = getattr(entry, name), getattr(a, name)
            # By the sums so far or by the entry before: one wrong entry is not to be told of again and again.
            if found not in (replayed, was + change):
                self._say(5, entry, f"its {name}", replayed, found)
        if entry.amount != changes[0]:
            self._say(5, entry, "its amount", changes[0], entry.amount)
        if a.debt < 0 or a.held < 0:
            self._say(4, entry, f"held ({a.held}) and debt ({a.debt}) must not be negative")

    def _check_spent(self, entry: Entry, body: Body) -> None:
        charge = charge_of(entry)
        paid = charge.debt + sum(s.amount for s in charge.slices)
        if paid != body.spent:
            self._say(5, entry, "what it spent", paid, body.spent)

    # The floor

    def _over(self) -> int:
        """Taken and set aside beyond the grants and the allowance; available is what is free less this."""
        a = self._account
        return a.debt + a.held - self._pinned - a.settings.allowance

    def _check_floor(self, entry: Entry, body: Body, before: int) -> None:
        after = self._over()
        if after <= max(before, 0):
            return
        owes = any(charge == entry.id and amount > 0 for charge, amount in body.debts)
        if entry.kind == "settings" or (owes and entry.kind in _MAY_OWE):
            return
        if owes and entry.kind == "expire" and any(self._is_voided(grant) for grant, _ in body.gone):
            return
        self._say(4, entry, f"a {entry.kind} leaves {after} more taken and held than grants and allowance cover")

    # Grants

    def _is_voided(self, grant: str) -> bool:
        terms = self.grants.get(grant)
        return terms is not None and terms.voided

    def _give(self, entry: Entry, terms: GrantTerms) -> None:
        if terms.id in self.grants or terms.amount <= 0:
            self._say(5, entry, f"it gives grant {terms.id} of {terms.amount}: once, and above zero")
            return
        self.grants[terms.id] = terms
        self._live[terms.id] = live(terms, terms.amount)
        self._account.balance += terms.amount
        if terms.scope:
            self._scoped += terms.amount

    def _change_terms(self, entry: Entry, grant: str, gone: int = 0, voided: bool = False, owed: int = 0) -> None:
        terms = self.grants.get(grant)
        if terms is None:
            self._lose(entry, f"it names grant {grant}, which no entry gave")
            return
        self.grants[grant] = replace(
            terms, gone=terms.gone + gone, voided=terms.voided or voided, owed=terms.owed + owed
        )  # fmt: skip
        if voided and (row := self._live.get(grant)):
            self._live[grant] = replace(row, voided=True)

    def _move(self, entry: Entry, grant: str, remaining: int, held: int) -> None:
        terms = self.grants.get(grant)
        if terms is None:
            self._lose(entry, f"it moves grant {grant}, which no entry gave")
            return
        g = self._live.get(grant) or live(terms, 0)
        g = replace(g, remaining=g.remaining + remaining, held=g.held + held)
        self._check_grant(entry, g, terms, remaining - held)
        if g.remaining or g.held:
            self._live[grant] = g
        else:
            self._live.pop(grant, None)
        self._account.balance += remaining
        self._pinned += held
        if g.scope:
            self._scoped += remaining

    def _check_grant(self, entry: Entry, g: Grant, terms: GrantTerms, free: int) -> None:
        if g.remaining < 0:
            self._say(4, entry, f"what remains of grant {g.id}", "0 or more", g.remaining)
        elif not 0 <= g.held <= g.remaining:
            self._say(6, entry, f"what is held in grant {g.id}", f"from 0 to {g.remaining}, which remains", g.held)
        if g.remaining + terms.gone > terms.amount:
            what = f"what remains and is gone of grant {g.id}"
            self._say(7, entry, what, f"{terms.amount} or less", g.remaining + terms.gone)
        over = g.expires_at is not None and g.expires_at <= entry.at
        # One that had ended before it was imported comes with what was spent of it while it lived.
        if free < 0 and over != (entry.kind == "lapse") and entry.kind != "import":
            what = "ended, and takes it" if over else "lives, and lapses it"
            self._say(4, entry, f"it finds {-free} free in grant {g.id}, which {what}")

    # Holds

    def _hold(self, entry: Entry, body: Body, terms: HoldTerms) -> None:
        self._account.held += terms.remaining
        before = self.holds.get(terms.id)
        if entry.kind in PLACES:
            if before is not None or terms.id != hold_id(entry.id):
                self._say(6, entry, f"it places hold {terms.id}, which is not its own")
            hold = placed(entry, terms)
        elif before is None:
            self._lose(entry, f"it names hold {terms.id}, which no entry placed")
            return
        else:
            late = before.state == "expired" and entry.kind == "settle" and terms.state == "settled"
            if before.state != "live" and not late:
                self._say(6, entry, f"it is about hold {terms.id}, which had {before.state} before")
            hold = changed(before, terms, body.spent)
        self._check_hold(entry, hold)
        self.holds[hold.id] = hold
        (self._open.add if hold.state == "live" else self._open.discard)(hold.id)

    def _check_hold(self, entry: Entry, hold: Hold) -> None:
        rest = sum(amount for _, amount in hold.slices)
        if any(amount < 0 for _, amount in hold.slices) or not rest <= hold.remaining <= hold.amount:
            self._say(6, entry, f"hold {hold.id} sets aside {hold.remaining} of {hold.amount} and pins {rest}")
        if hold.state != "live" and hold.remaining:
            self._say(6, entry, f"what hold {hold.id} sets aside after its end", 0, hold.remaining)

    def _check_pins(self, entry: Entry, body: Body) -> None:
        """What an entry pins in grants is what its hold pins: so the whole is pinned by live holds."""
        moved = {grant: held for grant, _, held in body.slices if held}
        pinned = {grant: amount for grant, amount in body.hold.slices if amount} if body.hold else {}
        if moved != pinned:
            self._say(6, entry, "what it pins in grants", pinned, moved)

    # Charges

    def _owe(self, entry: Entry, body: Body) -> None:
        """Debts made, repaid, refunded, forgiven."""
        a = self._account
        lowered: dict[str, int] = {}
        for charge_id, amount in body.debts:
            a.debt += amount
            a.balance -= amount
            if amount < 0:
                lowered[charge_id] = lowered.get(charge_id, 0) - amount
            elif charge_id == entry.id:
                self.charges[charge_id] = owing(entry, amount)
            else:
                self._say(5, entry, f"it raises the debt of charge {charge_id}, which is not its own")
        for charge_id, amount in lowered.items():
            if charge := self._charge(entry, charge_id):
                self._lower(entry, body, charge, amount)

    def _lower(self, entry: Entry, body: Body, charge: Charge, amount: int) -> None:
        repaid = tuple(Slice(grant, part) for named, grant, part in body.repaid if named == charge.id)
        refunded = sum(part for named, grant, part in body.refunds if named == charge.id and not grant)
        forgiven = amount - refunded - sum(s.amount for s in repaid)
        if forgiven and entry.kind != "set":
            self._say(5, entry, f"it lowers the debt of charge {charge.id} by {forgiven} that nobody paid")
        charge = replace(
            charge,
            debt=charge.debt - amount,
            forgiven=charge.forgiven + forgiven,
            slices=(*charge.slices, *repaid),
        )
        self.charges[charge.id] = charge
        if charge.debt < 0:
            self._say(5, entry, f"the debt of charge {charge.id}", "0 or more", charge.debt)

    def _charge(self, entry: Entry, charge_id: str) -> Charge | None:
        known = self.charges.get(charge_id)
        if known is not None:
            return known
        found, owner = self._recall(charge_id), (entry.workspace, entry.account)
        known_owner = found is not None and (found.workspace, found.account) == owner
        if found and known_owner and found.number < entry.number and found.kind in CHARGES:
            try:
                return charge_of(found)
            except msgspec.DecodeError:
                self._lose(entry, f"it gives back charge {charge_id}, whose body can't be read")
                return None
        self._say(7, entry, f"it gives back charge {charge_id}, which is none of this account before it")
        return None

    def _refund(self, entry: Entry, body: Body) -> None:
        touched: dict[str, Charge] = {}
        for charge_id, grant, amount in body.refunds:
            charge = touched.get(charge_id) or self._charge(entry, charge_id)
            if charge is not None:
                slices = give_back(charge.slices, grant, amount)
                if slices is None:
                    what = f"more than charge {charge_id} burnt of it"
                    self._say(7, entry, f"it gives {amount} back to grant {grant}, {what}")
                    slices = charge.slices
                touched[charge_id] = replace(charge, refunded=charge.refunded + amount, slices=slices)
        for charge in touched.values():
            self.charges[charge.id] = charge
            if refundable(charge) < 0:
                most = f"{charge.amount - charge.forgiven} or less"
                self._say(7, entry, f"what was refunded of charge {charge.id}", most, charge.refunded)
        total = sum(amount for _, _, amount in body.refunds)
        if total != -body.spent:
            self._say(7, entry, "what it refunds", -body.spent, total)
        for grant, amount in unreturned(body).items():
            self._say(7, entry, f"{amount} of the refund did not go back to grant {grant}")

    # Subscriptions

    def _subscribe(self, entry: Entry, s: Subscription | None) -> None:
        """A period is given once: each renewal has its key, and moves on from the one before."""
        before = self.subscription
        if (s is not None) != (entry.kind in _OF_SUBSCRIPTIONS):
            self._say(5, entry, f"a {entry.kind} tells of {'a' if s else 'no'} subscription")
        if s is None:
            return
        if entry.kind != "subscribe" and (before is None or before.id != s.id or before.ended_at is not None):
            self._say(5, entry, f"it is about subscription {s.id}, which the account did not have")
        elif entry.kind == "renew" and before is not None:
            if entry.key != renewal_key(s.id, before.next_at):
                self._say(3, entry, "the key of the period", renewal_key(s.id, before.next_at), entry.key)
            # Those of a plan that came with the renewal are counted from there.
            again = before.pending is None and s.periods <= before.periods
            if again or s.next_at <= before.next_at:
                self._say(3, entry, f"it gives period {s.periods} of subscription {s.id} again")
        self.subscription = s

    # Spend windows

    def _change_settings(self, entry: Entry, settings: AccountSettings) -> None:
        a = self._account
        if settings.timezone != a.settings.timezone:
            a.window = None
            try:
                self._calendar(entry.at, settings.timezone)
            except LookupError:
                self._lose(entry, f"there is no time zone {settings.timezone!r}")
                settings = replace(settings, timezone=a.settings.timezone)
        a.settings = settings

    def _turn_page(self, entry: Entry, body: Body) -> None:
        """Count what was spent in the day and month; a refund only when its charge fell into them."""
        a = self._account
        if entry.kind in _SPENDING:
            a.window = spend(a, entry.at, body.spent, entry.at, self._calendar)
        refunds: dict[str, int] = {}
        for charge_id, _, amount in body.refunds:
            refunds[charge_id] = refunds.get(charge_id, 0) + amount
        for charge_id, amount in refunds.items():
            if charge := self.charges.get(charge_id):
                a.window = spend(a, entry.at, -amount, charge.at, self._calendar)
