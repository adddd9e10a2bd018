"""What every sub-command needs, made when first asked for: settings, rates, catalogue, Slurm."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.config import Settings
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.rates import RateBook
    from mlcost_hpc.slurm.api import Slurm
    from mlcost_hpc.slurm.connect import Connection


class Context:
    """The composition root of one command.

    Args:
        config_file: the settings file named on the command line.
        verbose: show more on an error.
    """

    def __init__(self, config_file: Path | None, *, verbose: bool) -> None:
        self.config_file = config_file
        self.verbose = verbose

    @cached_property
    def settings_file(self) -> Path | None:
        """The settings file that holds."""
        from mlcost_hpc.config import find_settings_file

        return find_settings_file(self.config_file, os.environ, Path.cwd())

    @cached_property
    def settings(self) -> Settings:
        """The settings in force."""
        from mlcost_hpc.config import load_settings

        return load_settings(self.settings_file)

    @cached_property
    def catalog(self) -> Catalog:
        """The GPU models, with the site's aliases."""
        from mlcost_hpc.catalog import load_catalog

        site = self.settings.paths.catalog
        return load_catalog(self.settings.gpu_aliases, Path(site) if site else None)

    def rates(self, explicit: Path | None) -> RateBook:
        """Return the rate cards: those of ``--rates``, else the configured ones.

        Raises:
            ConfigError: when neither is given.
        """
        from mlcost_hpc.rates import load_rates

        path = explicit or (Path(self.settings.paths.rates) if self.settings.paths.rates else None)
        if path is None:
            raise ConfigError("no rate card: give --rates FILE, or set paths.rates in the settings file")
        return load_rates(path)

    def ledger_path(self, explicit: Path | None) -> Path:
        """Return the ledger's path: ``--ledger``, else the configured one, else the user's own."""
        return explicit or self.settings.ledger_path

    @cached_property
    def connection(self) -> Connection:
        """The connection to Slurm and why it is this one."""
        from mlcost_hpc.slurm.connect import connect

        slurm = self.settings.slurm
        return connect(slurm.backend, timeout_s=slurm.timeout_s, cluster=slurm.cluster)

    @property
    def slurm(self) -> Slurm:
        """The cluster."""
        return self.connection.slurm

    def need(self, options: dict[str, Any]) -> Need:
        """Return the need that the options of a command say.

        Raises:
            UsageError: when one of them cannot be read.
        """
        from datetime import UTC, datetime

        from mlcost_hpc.cli.need_options import need_from

        return need_from(options, self.catalog, datetime.now(UTC), self.settings.zone)

    def launcher(self, rates: Path | None) -> Launcher:
        """Return the launcher of this cluster with today's prices and the site's templates.

        Without a rate card it works with list prices, and says so on stderr: once at length, then in a word.

        Raises:
            ConfigError: when the rate card is wrong.
        """
        from mlcost_hpc.launch.assemble import NO_RATES, assemble
        from mlcost_hpc.launch.record import is_first_time

        launcher = assemble(self.settings, self.slurm, self.catalog, rates)
        if rates is None and self.settings.paths.rates is None:
            said = NO_RATES if is_first_time("no-rates") else "no rate card: list prices"
            click.echo(f"mlcost: {said}", err=True)
        return launcher
