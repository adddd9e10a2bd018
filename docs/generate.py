"""Write the generated pages of docs/reference: the commands, the settings and the sample settings file.

Run by ``make docs``; a test fails when a page differs from what this would write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from mlcost_hpc.cli.main import COMMANDS, cli
from mlcost_hpc.config import Settings

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by docs/generate.py (make docs); do not edit. -->\n\n"


def pages() -> dict[Path, str]:
    """Return every generated file with the text it should have."""
    return {
        ROOT / "docs/reference/cli.md": cli_page(),
        ROOT / "docs/reference/settings.md": settings_page(),
        ROOT / "accounting/config/mlcost.sample.toml": sample_settings(),
    }


def cli_page() -> str:
    """Return the reference of all commands: each one's own ``--help``."""
    parts = [NOTE, "# Commands\n", help_of(cli, ["mlcost"])]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts += section(command, ["mlcost", name], "##")
    return "\n".join(parts)


def section(command: click.Command, path: list[str], mark: str) -> list[str]:
    """Return a command's section and those of its sub-commands."""
    parts = [f"{mark} {' '.join(path)}\n", help_of(command, path)]
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            parts += section(child, [*path, name], mark + "#")
    return parts


def help_of(command: click.Command, path: list[str]) -> str:
    """Return a command's help as a block."""
    context = click.Context(command, info_name=" ".join(path), terminal_width=100, max_content_width=100)
    return f"```text\n{command.get_help(context)}\n```\n"


def settings_fields() -> list[tuple[str, str, Any, str]]:
    """Return (table, key, default, description) of every setting, in order."""
    found = []
    for field in msgspec.structs.fields(Settings):
        info = msgspec.inspect.type_info(field.type)
        if isinstance(info, msgspec.inspect.StructType):
            found += [
                (field.name, inner.name, default_of(inner), description(inner.type))
                for inner in msgspec.structs.fields(info.cls)
            ]
        else:
            found.append((field.name, "", default_of(field), description(field.type)))
    return found


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """Return a setting's default; mutable ones come from a factory."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def description(annotated: Any) -> str:
    """Return the description that stands beside a setting's type."""
    info = msgspec.inspect.type_info(annotated)
    assert isinstance(info, msgspec.inspect.Metadata)
    assert info.extra_json_schema is not None
    return str(info.extra_json_schema["description"])


def settings_page() -> str:
    """Return the reference of all settings."""
    lines = [
        NOTE + "# Settings\n",
        "The first of these files that exists is read: the one named with `--config`, `$MLCOST_CONFIG`,",
        "`./mlcost.toml`, `~/.config/mlcost/config.toml`, `/etc/mlcost/config.toml`. Relative paths in it",
        "are relative to the file. A complete sample: `accounting/config/mlcost.sample.toml`.\n",
        "| setting | default | what it is |",
        "|---|---|---|",
    ]
    for table, key, default, text in settings_fields():
        name = f"{table}.{key}" if key else f"[{table}]"
        lines.append(f"| `{name}` | {shown(default)} | {text} |")
    return "\n".join(lines) + "\n"


def sample_settings() -> str:
    """Return a settings file with every setting at its default."""
    lines = ["# All settings with their defaults. Written by docs/generate.py (make docs)."]
    table_now = None
    for table, key, default, text in settings_fields():
        if table != table_now:
            lines += ["", f"[{table}]"]
            table_now = table
        lines.append(f"# {text}")
        if key:
            unset = default is None
            lines.append(f'# {key} = ""' if unset else f"{key} = {toml(default)}")
        else:
            lines.append('# a100 = "a100-80gb"')
    return "\n".join(lines) + "\n"


def shown(default: Any) -> str:
    """Return a default for the table."""
    return "none" if default in (None, {}) else f"`{toml(default)}`"


def toml(value: Any) -> str:
    """Return a plain value as TOML, which writes texts and numbers as JSON does."""
    return json.dumps(value)


def main() -> None:
    """Write the pages; with ``--check`` say which ones are out of date instead, exit code 1 if any."""
    check = sys.argv[1:] == ["--check"]
    wanted = pages().items()
    outdated = {path: text for path, text in wanted if not path.exists() or path.read_text("utf-8") != text}
    for path, text in outdated.items():
        name = path.relative_to(ROOT)
        if check:
            click.echo(f"{name} is out of date")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {name}")
    sys.exit(bool(check and outdated))


if __name__ == "__main__":
    main()
