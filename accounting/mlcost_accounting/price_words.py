"""The price of an hour in words: what was held, times what each of it costs (pure)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from mlcost_hpc.rates import GB, GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcost_hpc.rates import RateCard, Resources


class Term(NamedTuple):
    """One part of a price: so much of something, at a price each."""

    kind: str
    amount: Fraction
    unit: str
    price: Decimal

    @property
    def cost(self) -> Fraction:
        """What it comes to."""
        return self.amount * Fraction(self.price)


def price_words(card: RateCard, held: Resources, partition: str, qos: str) -> str:
    """Return how the price of an hour comes about: ``(2 a100 x 1.85 + 16 CPUs x 0.012) x 0.4 = 1.5568``.

    The words are checked against the price itself. Where they would not give it exactly (shares of nodes,
    say), the answer is empty.

    Raises:
        RateError: when something has no price.
    """
    rate = card.at(partition)
    exact = card.exact_per_hour(held, partition, qos)
    if rate.basis == "whole-node":
        terms = [Term("node", Fraction(held.nodes), "nodes", rate.node_hour)]
    elif rate.basis == "node-share":
        return ""
    else:
        terms = [term for term in _terms(card, held, partition) if term.amount and term.price]
    words, base = _combined(card, terms)
    if not base or not exact:
        return ""
    factor = exact / base
    known = Fraction(card.multiplier(partition, qos))
    sizes = {Fraction(1), *(Fraction(rule.multiplier) for rule in card.size)}
    if factor not in {known * size for size in sizes}:
        return ""
    if factor != 1:
        words = f"({words}) x {_number(factor)}" if " " in words else f"{words} x {_number(factor)}"
    return f"{words} = {_number(exact)}"


def _terms(card: RateCard, held: Resources, partition: str) -> Iterator[Term]:
    rate = card.at(partition)
    for model, count in held.gpus.items():
        yield Term("gpu", Fraction(count), model or "GPU", card.gpu_price(model, partition))
    cpu_hour = card.cpu_hour if rate.cpu_hour is None else rate.cpu_hour
    yield Term("cpu", Fraction(-(-held.cpus // card.cpu_step) * card.cpu_step), "CPUs", cpu_hour)
    gib = card.memory_gib_hour if rate.memory_gib_hour is None else rate.memory_gib_hour
    unit, size, price = ("GiB", GIB, gib) if gib else ("GB", GB, card.memory_gb_hour)
    amount = Fraction(held.memory, size) - held.cpus * Fraction(card.included_memory_per_cpu)
    amount = max(amount, Fraction(0))
    if card.memory_step:
        step = Fraction(card.memory_step)
        amount = -(-amount // step) * step
    yield Term("memory", amount, unit, price)
    for name, count in held.other.items():
        yield Term("other", Fraction(count), name, card.other_hour.get(name, Decimal(0)))


def _combined(card: RateCard, terms: list[Term]) -> tuple[str, Fraction]:
    """Return the terms in words and what they come to together."""
    rivals = {"sum": (), "max": ("gpu", "cpu", "memory"), "max-cpu-memory": ("cpu", "memory")}[card.combine]
    largest = [term for term in terms if term.kind in rivals]
    added = [term for term in terms if term.kind not in rivals]
    words = [_words(term) for term in added]
    base = sum((term.cost for term in added), Fraction(0))
    gpus = [term for term in largest if term.kind == "gpu"]
    if len(gpus) > 1:  # GPUs of several models are one rival together: too much for a line
        return "", Fraction(0)
    if len(largest) == 1:
        words.insert(0, _words(largest[0]))
    elif largest:
        words.insert(0, f"the largest of ({', '.join(_words(term) for term in largest)})")
    base += max((term.cost for term in largest), default=Fraction(0))
    return " + ".join(words), base


def _words(term: Term) -> str:
    unit = term.unit.removesuffix("s") if term.amount == 1 and term.kind in ("cpu", "node") else term.unit
    return f"{_number(term.amount)} {unit} x {_number(Fraction(term.price))}"


def _number(value: Fraction) -> str:
    scaled = value * 10**9
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):.9f}".rstrip("0").rstrip(".")
    return text if scaled.denominator == 1 else f"{text}..."
