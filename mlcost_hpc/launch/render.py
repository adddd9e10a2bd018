"""Batch scripts from templates: the site's own first, then those of the package.

No text reaches a script unquoted: every expression of a template must pass one of the filters ``sbatch``,
``shell`` or ``comment``, or be a number; anything else is an error, in a site's own template as well.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlcost_hpc.launch.script import JobScript

_PACKAGED = Path(__file__).parents[1] / "sbatch_templates"
_CHECKOUT = Path(__file__).parents[2] / "sbatch_templates"


class Quoted(str):
    """A text that is safe where it stands in a batch script."""

    __slots__ = ()


def quote_sbatch(value: object) -> Quoted:
    """Return a value for an ``#SBATCH`` line.

    sbatch has its own rules: inside single quotes a backslash still escapes. [measured on 22.05: every
    printable text comes back unchanged]
    """
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return Quoted(f"'{text}'") if text != str(value) or shlex.quote(text) != text else Quoted(text)


def quote_shell(value: object) -> Quoted:
    """Return a value as one word of a shell command."""
    return Quoted(shlex.quote(str(value)))


def quote_words(words: Iterable[object]) -> Quoted:
    """Return several values as words of a shell command."""
    return Quoted(" ".join(shlex.quote(str(word)) for word in words))


def quote_comment(value: object) -> Quoted:
    """Return a value for a comment line: nothing in it can end the line."""
    return Quoted("".join(char if char.isprintable() else "?" for char in str(value)))


class Templates:
    """The sbatch templates in force.

    Args:
        site: folder of the site's own templates; a file there wins over ours of the same name.
    """

    def __init__(self, site: Path | None = None) -> None:
        folders = [folder for folder in (site, packaged_templates()) if folder is not None]
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(folder) for folder in folders]),
            undefined=jinja2.StrictUndefined,
            finalize=_only_quoted,
            autoescape=False,  # noqa: S701 - this is a shell script; _only_quoted is its guard
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters.update(
            sbatch=quote_sbatch, shell=quote_shell, words=quote_words, comment=quote_comment
        )

    def render(self, script: JobScript) -> str:
        """Return the text of a batch script.

        Raises:
            ConfigError: naming the template and line when a template is missing or wrong.
        """
        return self.render_values(
            script.template, **{name: getattr(script, name) for name in script.__struct_fields__}
        )

    def render_values(self, name: str, /, **values: Any) -> str:
        """Return the text of a template with some values.

        Raises:
            ConfigError: naming the template and line when a template is missing or wrong.
        """
        try:
            return self._environment.get_template(name).render(**values)
        except jinja2.TemplateNotFound as error:
            raise ConfigError(f"there is no sbatch template {error.name}") from None
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"{error.filename}, line {error.lineno}: {error.message}") from None
        except jinja2.UndefinedError as error:
            raise ConfigError(f"sbatch template {name}: {error.message}") from None
        except UnquotedError as error:
            raise ConfigError(f"sbatch template {name}: {error}") from None


class UnquotedError(ValueError):
    """A template puts a text into the script without a filter that makes it safe."""


def packaged_templates() -> Path:
    """Return the folder of our templates: in the package, else in the checkout (editable installs)."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def _only_quoted(value: Any) -> Any:
    # Blocks and includes of other templates arrive as text that has been through here already: Jinja gives
    # finalize the expressions of {{ }} only.
    if isinstance(value, (Quoted, int)):
        return value
    raise UnquotedError(f"{value!r} is put in without a filter (sbatch, shell, words or comment)")
