"""The tree of accounts: who is below whom (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class AccountTree(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts with the one above each; an account that is not named has none.

    Attributes:
        parents: account -> the account above it; empty = it is at the top.
    """

    parents: Mapping[str, str] = {}

    def below(self, account: str) -> tuple[str, ...]:
        """Return an account and all accounts below it, sorted; a tree with a loop is walked once."""
        children: dict[str, list[str]] = {}
        for child, parent in self.parents.items():
            children.setdefault(parent, []).append(child)
        found, waiting = {account}, [account]
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return tuple(sorted(found))

    def all_below(self, accounts: Iterable[str]) -> frozenset[str]:
        """Return accounts with all accounts below them."""
        return frozenset(name for account in accounts for name in self.below(account))

    def above(self, account: str) -> tuple[str, ...]:
        """Return the accounts above an account, the nearest first."""
        path: list[str] = []
        while (account := self.parents.get(account, "")) and account not in path:
            path.append(account)
        return tuple(path)
