"""Which project a run belongs to: rules over account, QOS, partition, WCKey and comment (pure).

Comments are written by users: a rule that trusts them lets a user choose the project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.tomlfile import convert_toml

if TYPE_CHECKING:
    from pathlib import Path

_TAG = re.compile(r"([\w.-]+)=([\w./-]+)")


class ProjectRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs that fit all named patterns (shell style, ``nlp-*``) belong to a project.

    Attributes:
        name: the project; ``{key}`` stands for the value of ``key=value`` in the comment.
        account, qos, partition, wckey: patterns, any of which must fit; empty = whatever it is.
        comment: key -> pattern of its value in the comment.
    """

    name: str
    account: tuple[str, ...] = ()
    qos: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    wckey: tuple[str, ...] = ()
    comment: Mapping[str, str] = {}


class ProjectMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a site; the first that fits holds, and a run that fits none belongs to its account.

    Attributes:
        tag: key of the comment whose value reports can group by (``tag``).
        project: the rules.
    """

    tag: str = "tag"
    project: tuple[ProjectRule, ...] = ()

    def project_of(self, account: str, qos: str, partition: str, wckey: str, comment: str) -> str:
        """Return the project of a run."""
        tags = comment_tags(comment)
        for rule in self.project:
            fields = (
                (rule.account, account), (rule.qos, qos), (rule.partition, partition), (rule.wckey, wckey),
            )  # fmt: skip
            if all(_fits(patterns, value) for patterns, value in fields) and all(
                key in tags and fnmatchcase(tags[key], pattern) for key, pattern in rule.comment.items()
            ):
                return re.sub(r"\{([\w.-]+)\}", lambda match: tags.get(match[1], ""), rule.name) or account
        return account

    def tag_of(self, comment: str) -> str:
        """Return the value of the comment's tag, empty when there is none."""
        return comment_tags(comment).get(self.tag, "")


def comment_tags(comment: str) -> dict[str, str]:
    """Return the ``key=value`` words of a comment; the first of a key counts."""
    tags: dict[str, str] = {}
    for key, value in _TAG.findall(comment):
        tags.setdefault(key, value)
    return tags


def load_projects(path: Path) -> ProjectMap:
    """Return the project rules of a TOML file.

    Raises:
        ConfigError: naming the file and the key that is wrong.
    """
    return convert_toml(path, ProjectMap)


def _fits(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
