"""What sacctmgr is given to fill a new accounting database. Pure: a file's text and lists of arguments.

A call of sacctmgr takes about half a second, nearly all of it waiting for answers, so accounts and users go
in as one file for `sacctmgr load` instead of one call each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virtual_cluster.settings import Settings
    from virtual_cluster.site import Site

Call = list[str]


def add_qos(site: Site) -> Call:
    """Arguments that make the QOS; "normal" is Slurm's own."""
    return ["add", "qos", ",".join(qos.name for qos in site.qos if qos.name != "normal")]


def set_qos(site: Site, settings: Settings) -> list[Call]:
    """Arguments that give each QOS its properties; said again when the settings change."""
    return [
        [
            "modify", "qos", qos.name, "set",
            f"Priority={qos.priority}",
            f"UsageFactor={qos.usage_factor}",
            # An empty list would be stored as the QOS number 0, and then every later change is "a loop".
            *([f"Preempt={','.join(qos.preempts)}"] if qos.preempts else []),
            f"PreemptMode={settings.preempt_mode if qos.preemptible else 'cluster'}",
            f"GraceTime={settings.grace if qos.preemptible else 0}",
        ]
        for qos in site.qos
    ]  # fmt: skip


def load_file(site: Site, cluster: str) -> str:
    """The file for `sacctmgr load`: cluster, account tree, users."""
    qos = ",".join(sorted(one.name for one in site.qos))
    lines = [f"Cluster - '{cluster}':Fairshare=1:QOS='{qos}':DefaultQOS='normal'", *_accounts(site, qos)]
    for account in site.accounts:
        users = [user for user in site.users if account.name in user.accounts]
        if users:
            lines.append(f"Parent - '{account.name}'")
        for user in users:
            default = f":DefaultAccount='{account.name}'" if user.accounts[0] == account.name else ""
            lines.append(f"User - '{user.name}'{default}:Fairshare=10:QOS='{qos}':DefaultQOS='normal'")
    return "".join(f"{line}\n" for line in lines)


def _accounts(site: Site, qos: str) -> Iterator[str]:
    # Parents come before their children, as the site lists them.
    for parent in dict.fromkeys(account.parent for account in site.accounts):
        yield f"Parent - '{parent}'"
        for account in site.accounts:
            if account.parent == parent:
                yield (
                    f"Account - '{account.name}':Description='{account.description}':Organization='{parent}'"
                    f":Fairshare=100:QOS='{qos}':DefaultQOS='normal'"
                )
