"""Settings: one definition that is the loader, the reference page and the sample file.

The first of these files that exists is read: ``--config``, ``$MLCOST_CONFIG``, ``./mlcost.toml``,
``~/.config/mlcost/config.toml``, ``/etc/mlcost/config.toml``. Without any, the defaults hold. Relative
paths in a settings file are relative to the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import platformdirs

from mlcost_hpc.errors import ConfigError
from mlcost_hpc.tomlfile import convert_toml

_Doc = msgspec.Meta


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The site."""

    name: Annotated[str, _Doc(description="Name of the site, shown on reports.")] = "this site"
    time_zone: Annotated[
        str,
        _Doc(description="Time zone in which days, months and rate cards begin (an IANA name)."),
    ] = "UTC"


class SlurmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Slurm is asked."""

    backend: Annotated[
        Literal["auto", "cli", "pyslurm"],
        _Doc(description="`cli` runs Slurm's commands, `pyslurm` uses its library, `auto` takes what works."),
    ] = "auto"
    cluster: Annotated[
        str | None, _Doc(description="Cluster to ask in a multi-cluster site (`-M`); else the local one.")
    ] = None
    timeout_s: Annotated[
        float, _Doc(description="Seconds after which a Slurm command is given up.", gt=0)
    ] = 30.0


class PathSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things are."""

    rates: Annotated[str | None, _Doc(description="The rate card (TOML).")] = None
    catalog: Annotated[
        str | None, _Doc(description="GPU models of the site, on top of the packaged ones (TOML).")
    ] = None
    ledger: Annotated[str | None, _Doc(description="The ledger (one SQLite file).")] = None
    projects: Annotated[
        str | None, _Doc(description="Rules that say which project a run belongs to (TOML).")
    ] = None
    alerts: Annotated[str | None, _Doc(description="Channels that alerts of budgets go to (TOML).")] = None
    published_budgets: Annotated[
        str | None,
        _Doc(description="File that `mlcost budget check` writes for all to read, and the launcher obeys."),
    ] = None
    web_tokens: Annotated[
        str | None, _Doc(description="Access tokens of the web pages (`mlcost web token`), hashed.")
    ] = None
    proxy_secret: Annotated[
        str | None,
        _Doc(
            description="File whose first line the web pages' proxy must send in `X-Mlcost-Proxy-Secret`: "
            "needed where others can connect from a trusted address, as on a shared login node."
        ),
    ] = None
    templates: Annotated[
        str | None, _Doc(description="Folder of the site's own sbatch templates; they win over ours.")
    ] = None
    runs: Annotated[
        str, _Doc(description="Folder in which every submitted job gets a folder of its own.")
    ] = "mlcost-runs"


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How budgets reach Slurm."""

    billing_per_unit: Annotated[
        int,
        _Doc(
            description="Slurm billing units per currency unit and hour, in weights and pushed limits.",
            ge=1,
        ),
    ] = 1000


class RequeueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a job is requeued by its batch script, by what stopped it; 0 = never."""

    preemptions: Annotated[int, _Doc(description="When another job needs the place.", ge=0)] = 100
    timeouts: Annotated[int, _Doc(description="At the end of the time limit.", ge=0)] = 20
    signals: Annotated[int, _Doc(description="After any other signal.", ge=0)] = 10
    errors: Annotated[
        int, _Doc(description="After a failure, if the run had saved more than it began with.", ge=0)
    ] = 2
    stalls: Annotated[
        int, _Doc(description="Attempts in a row that may end where they began, before the chain ends.", ge=1)
    ] = 3


class WebSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web pages: who signs in how, and who sees what."""

    host: Annotated[str, _Doc(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _Doc(description="Port to listen on.", ge=1, le=65535)] = 8642
    user_header: Annotated[
        str, _Doc(description="Header in which a trusted proxy names the user; empty = tokens only.")
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], _Doc(description="Addresses or networks of proxies whose header is believed.")
    ] = ()
    operators: Annotated[tuple[str, ...], _Doc(description="Users who see everything.")] = ()
    leads: Annotated[
        Mapping[str, tuple[str, ...]],
        _Doc(description="User -> accounts whose runs, and those of accounts below, they may see."),
    ] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings.

    Attributes:
        site: the site.
        slurm: how Slurm is asked.
        paths: where things are.
        budgets: how budgets reach Slurm.
        requeue: how often jobs are requeued.
        web: the web pages.
        gpu_aliases: GRES type name of this site -> GPU model, where the catalogue's is wrong or missing.
    """

    site: SiteSettings = SiteSettings()
    slurm: SlurmSettings = SlurmSettings()
    paths: PathSettings = PathSettings()
    budgets: BudgetSettings = BudgetSettings()
    requeue: RequeueSettings = RequeueSettings()
    web: WebSettings = WebSettings()
    gpu_aliases: Annotated[
        Mapping[str, str],
        _Doc(description="GRES type name of this site -> GPU model of the catalogue (`mlcost gpus`)."),
    ] = {}

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.site.time_zone)

    @property
    def ledger_path(self) -> Path:
        """The ledger: the configured one, else the user's own."""
        return Path(self.paths.ledger or platformdirs.user_data_path("mlcost") / "ledger.db")


def find_settings_file(explicit: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """Return the settings file that holds, None when there is none.

    Args:
        explicit: the path given on the command line; it must exist.
        environ: the environment (``MLCOST_CONFIG`` must exist when set).
        folder: the current folder.

    Raises:
        ConfigError: when a file that was named does not exist.
    """
    named = explicit or (Path(environ["MLCOST_CONFIG"]) if environ.get("MLCOST_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            raise ConfigError(f"settings file {named} does not exist")
        return named
    candidates = (
        folder / "mlcost.toml",
        platformdirs.user_config_path("mlcost") / "config.toml",
        Path("/etc/mlcost/config.toml"),
    )
    return next((path for path in candidates if path.is_file()), None)


def load_settings(path: Path | None) -> Settings:
    """Return the settings of a file, or the defaults for None.

    Raises:
        ConfigError: naming the file, the key and what was expected there.
    """
    if path is None:
        return Settings()
    settings = convert_toml(path, Settings)
    try:
        ZoneInfo(settings.site.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"{path}: site.time_zone: {settings.site.time_zone!r} is not a time zone") from None
    return msgspec.structs.replace(settings, paths=_absolute(settings.paths, path.resolve().parent))


def _absolute(paths: PathSettings, folder: Path) -> PathSettings:
    """Return the paths with relative ones taken from the settings file's folder."""
    changes = {
        name: str(folder / Path(value).expanduser())
        for name in PathSettings.__struct_fields__
        if (value := getattr(paths, name)) is not None
    }
    return msgspec.structs.replace(paths, **changes)
