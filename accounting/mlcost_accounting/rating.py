"""What a run costs, day by day: usage x rate cards -> charges (pure).

A run's charge is an exact fraction: seconds, times the price of what was held, times the card's rules. It is
rounded once to micros. Its days get parts of it by rounding the running sum, so that they add up to it.
"""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from mlcost_accounting.charge import OPEN_STATES, Charge, Slice, Step
from mlcost_accounting.dayhours import DayHours
from mlcost_accounting.held import Holdings
from mlcost_hpc.errors import RateError
from mlcost_hpc.money import MICROS, round_micros
from mlcost_hpc.rate_rules import StateRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.calendar import Calendar, Integers
    from mlcost_accounting.charge import Span
    from mlcost_accounting.held import Held
    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.rates import RateBook, RateCard

RUNAWAY_MARGIN_S = 3600
"""A run that is still running this long after its time limit is taken for a record nobody closed."""


class Rater:
    """Rates runs under a rate book.

    Args:
        book: the rate cards; None = usage only, every charge is refused for want of a price.
        catalog: GPU models.
        calendar: the site's days.

    Attributes:
        untracked: partitions with GPUs that the cluster does not count.
    """

    def __init__(self, book: RateBook | None, catalog: Catalog, calendar: Calendar) -> None:
        self.book = book
        self.untracked: frozenset[str] = frozenset()
        self.calendar = calendar
        self._holdings = Holdings(catalog)
        self._cards: dict[int, RateCard] = {}
        self._hours: dict[date, DayHours] = {}
        self._per_second: dict[tuple[date, str, str, str, int], tuple[int, int]] = {}
        self._prices: dict[tuple[date, str, str, str, int, bool], Fraction] = {}

    def card(self, day: int) -> RateCard:
        """Return the card of a day.

        Raises:
            RateError: when there is none.
        """
        found = self._cards.get(day)
        if found is None:
            if self.book is None:
                raise RateError("there is no rate card")
            found = self._cards[day] = self.book.card_at(date.fromordinal(day))
        return found

    def card_numbers(self, days: Integers) -> Integers:
        """Return which card holds on each day, counted from the first; -1 before it, or without any."""
        begins = [card.valid_from.toordinal() for card in self.book.card] if self.book else []
        return np.searchsorted(np.array(begins, dtype=np.int64), days, side="right") - 1

    def held(self, span: Span) -> Held:
        """Return what a run held."""
        newest = self.book.card[-1].at(span.partition).gpu_model if self.book else ""
        return self._holdings.read(span.allocated, span.node_count, newest)

    def price(self, card: RateCard, span: Span, *, suspended: bool = False) -> Fraction:
        """Return the exact price of one hour of a run.

        Raises:
            RateError: when something it holds has no price.
        """
        key = (card.valid_from, span.partition, span.qos, span.allocated, span.node_count, suspended)
        found = self._prices.get(key)
        if found is None:
            held = self._holdings.read(span.allocated, span.node_count, card.at(span.partition).gpu_model)
            found = card.exact_per_hour(held.resources, span.partition, span.qos, suspended=suspended)
            self._prices[key] = found
        return found

    def per_second(self, card: RateCard, span: Span) -> tuple[int, int]:
        """Return :meth:`price` as micros per second, numerator and denominator.

        Raises:
            RateError: when something it holds has no price.
        """
        key = (card.valid_from, span.partition, span.qos, span.allocated, span.node_count)
        found = self._per_second.get(key)
        if found is None:
            exact = self.price(card, span) * MICROS / 3600
            found = self._per_second[key] = (exact.numerator, exact.denominator)
        return found

    def is_simple(self, card: RateCard, partition: str, state: str) -> bool:
        """Return True when a run within one day costs just seconds x price under a card."""
        return (
            not card.hours
            and card.step_seconds == 1
            and not card.minimum_minutes
            and not card.minimum_charge
            and card.charge_at == "use"
            and card.state_rule(partition, state) is None
            and state not in ("REVOKED", "RUNNING", "SUSPENDED")
        )

    def needs_gpus(self, card: RateCard, partition: str) -> bool:
        """Return True when a run without GPUs in its row cannot be trusted to have had none."""
        return card.at(partition).needs_gpus or partition in self.untracked

    def rate(self, span: Span) -> Charge:
        """Return a run's charge, day by day; a run that held nothing has none."""
        if not span.allocated:
            return Charge((), None)
        usage = self._usage(span)
        try:
            problem = self._refused(span)
            costs = None if problem else self._costs(span)
        except RateError as error:
            problem, costs = ("no-price", str(error)), None
        if costs is None:
            return Charge(tuple(Slice(*row, None, 0) for row in usage), problem)
        return Charge(
            tuple(Slice(*row, cost, credit) for row, (cost, credit) in zip(usage, costs, strict=True)), None
        )

    def steps(self, span: Span) -> list[Step]:
        """Return the arithmetic of each day, before the rules about the whole run.

        Raises:
            RateError: when something has no price.
        """
        held_s = span.elapsed_s + span.suspended_s
        pieces = list(self.calendar.pieces(span.started, span.started + held_s))
        end_card = self._end_card(pieces[-1][0])
        steps = []
        for day, start, stop in pieces:
            card = end_card or self.card(day)
            per_hour = self.price(card, span)
            if span.suspended_s:
                idle = self.price(card, span, suspended=True)
                per_hour = (per_hour * span.elapsed_s + idle * span.suspended_s) / held_s
            weighed = self._day_hours(card).weigh(day, start, stop)
            steps.append(
                Step(
                    day=day,
                    seconds=stop - start,
                    weighed_s=weighed,
                    card=card.valid_from,
                    per_hour=per_hour,
                    exact=per_hour * weighed / 3600,
                )
            )
        return steps

    def rules(self, span: Span) -> RateCard:
        """Return the card whose rules about whole runs hold: that of the day on which the run started.

        Raises:
            RateError: when there is none.
        """
        first = self.card(self.calendar.day_of(span.started)[0])
        last_second = span.started + max(0, span.elapsed_s + span.suspended_s - 1)
        return self._end_card(self.calendar.day_of(last_second)[0]) or first

    def totals(self, span: Span, steps: Sequence[Step]) -> tuple[Fraction, Fraction]:
        """Return (list price, what is charged) of a run, exact, in currency units."""
        card = self.rules(span)
        used = sum((step.exact for step in steps), Fraction(0))
        if not used:
            return Fraction(0), Fraction(0)
        billed_s = max(-(-span.elapsed_s // card.step_seconds) * card.step_seconds, card.minimum_minutes * 60)
        listed = max(used * Fraction(billed_s, span.elapsed_s), Fraction(card.minimum_charge))
        rule = card.state_rule(span.partition, span.state)
        if rule is None or _too_near_limit(span, rule):
            rule = _CHARGED
        factor = Fraction(0) if span.state == "REVOKED" else Fraction(rule.multiplier)
        if span.reservation and card.reservations == "holder":
            factor = Fraction(0)
        charged_s = max(0, billed_s - rule.free_minutes * 60)
        return listed, listed * factor * Fraction(charged_s, billed_s)

    def _costs(self, span: Span) -> list[tuple[int, int]]:
        """Return (cost, credit) in micros of each day."""
        steps = self.steps(span)
        if not span.elapsed_s:
            return [(0, 0)] * len(steps)
        listed, charged = self.totals(span, steps)
        if self.rules(span).charge_at == "end":
            due = span.state not in OPEN_STATES
            cost, full = (_round(charged), _round(listed)) if due else (0, 0)
            return [(0, 0)] * (len(steps) - 1) + [(cost, full - cost)]
        used = sum((step.exact for step in steps), Fraction(0))
        costs, done_cost, done_list, running = [], 0, 0, Fraction(0)
        for step in steps:
            running += step.exact
            share = running / used if used else Fraction(1)
            cost, full = _round(charged * share), _round(listed * share)
            costs.append((cost - done_cost, (full - done_list) - (cost - done_cost)))
            done_cost, done_list = cost, full
        return costs

    def _usage(self, span: Span) -> list[tuple[int, int, int, int, int]]:
        """Return (day, wall, CPU, GPU, node seconds); suspension is taken from CPU time, evenly over days."""
        held = self.held(span)
        held_s = span.elapsed_s + span.suspended_s
        rows, held_so_far, active_so_far = [], 0, 0
        for day, start, stop in self.calendar.pieces(span.started, span.started + held_s):
            wall = stop - start
            held_so_far += wall
            active = round_micros(held_so_far * span.elapsed_s, held_s) if held_s else 0
            cpu = (active - active_so_far) * held.resources.cpus
            active_so_far = active
            rows.append((day, wall, cpu, wall * held.gpus, wall * held.resources.nodes))
        return rows

    def _refused(self, span: Span) -> tuple[str, str] | None:
        if span.state in ("RUNNING", "SUSPENDED") and span.time_limit_s is not None:
            late = span.seen - (span.started + span.time_limit_s + span.suspended_s)
            if late > RUNAWAY_MARGIN_S:
                return "runaway", f"still {span.state} {late // 3600} h after its time limit"
        card = self.rules(span)
        if self.needs_gpus(card, span.partition) and not self.held(span).gpus:
            why = f"partition {span.partition!r} has GPUs, but the accounting row counts none"
            return "untracked", f"{why}: AccountingStorageTRES lacks gres/gpu"
        return None

    def _end_card(self, last_day: int) -> RateCard | None:
        """Return the card of the last day where charges fall due at the end, None elsewhere."""
        card = self.card(last_day)
        return card if card.charge_at == "end" else None

    def _day_hours(self, card: RateCard) -> DayHours:
        if card.valid_from not in self._hours:
            self._hours[card.valid_from] = DayHours(card.hours, self.calendar)
        return self._hours[card.valid_from]


def _too_near_limit(span: Span, rule: StateRule) -> bool:
    return (
        bool(rule.minutes_before_limit)
        and span.time_limit_s is not None
        and span.elapsed_s + rule.minutes_before_limit * 60 > span.time_limit_s
    )


def _round(amount: Fraction) -> int:
    return round_micros(amount.numerator * MICROS, amount.denominator)


_CHARGED = StateRule()
