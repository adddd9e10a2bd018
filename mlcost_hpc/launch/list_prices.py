"""Prices for a site that has none: the middle of what public clouds ask, good for comparing only."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from mlcost_hpc.rates import RateCard

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog

CURRENCY = "USD (list prices)"
_CPU_HOUR = Decimal("0.02")


def list_price_card(catalog: Catalog) -> RateCard:
    """Return a rate card with the geometric mean of each GPU model's lowest and highest list price."""
    return RateCard(
        valid_from=date(1970, 1, 1),
        cpu_hour=_CPU_HOUR,
        gpu_hour={
            model.key: (model.usd_hour[0] * model.usd_hour[1]).sqrt().quantize(Decimal("0.01"))
            for model in catalog.models.values()
            if model.usd_hour is not None
        },
    )
