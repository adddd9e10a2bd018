"""Who may see what (pure): operators all, leads their accounts and those below, everybody themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.ledger.scoped import EVERYTHING, Scope

if TYPE_CHECKING:
    from mlcost_accounting.accounts import AccountTree


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The roles of a site.

    Attributes:
        operators: users who see everything.
        leads: user -> accounts they lead.
    """

    operators: frozenset[str] = frozenset()
    leads: Mapping[str, tuple[str, ...]] = {}

    def is_operator(self, user: str) -> bool:
        """Return True for operators."""
        return user in self.operators

    def scope_of(self, user: str, tree: AccountTree) -> Scope:
        """Return what a signed-in user may see; a lead also sees the accounts below."""
        if not user:
            return Scope()
        if self.is_operator(user):
            return EVERYTHING
        return Scope(accounts=tree.all_below(self.leads.get(user, ())), user=user)
