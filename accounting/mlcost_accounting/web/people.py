"""Who may see what (pure): operators all, leads their accounts and those below, everybody themselves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mlcost_accounting.accounts import AccountTree
from mlcost_accounting.ledger.scoped import EVERYTHING, Scope


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The roles of a site.

    Attributes:
        operators: users who see everything.
        leads: user -> accounts they lead.
        tree: the accounts.
    """

    operators: frozenset[str] = frozenset()
    leads: Mapping[str, tuple[str, ...]] = {}
    tree: AccountTree = AccountTree()

    def is_operator(self, user: str) -> bool:
        """Return True for operators."""
        return user in self.operators

    def scope_of(self, user: str) -> Scope:
        """Return what a signed-in user may see."""
        if not user:
            return Scope()
        if self.is_operator(user):
            return EVERYTHING
        return Scope(accounts=self.tree.all_below(self.leads.get(user, ())), user=user)
