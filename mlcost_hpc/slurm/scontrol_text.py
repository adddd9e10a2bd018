"""The ``Key=value`` answers of ``scontrol show``, one-line (``-o``) and multi-line alike (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check_whole(text: str, question: str) -> None:
    """Make sure that an answer was not cut off: Slurm ends every answer with a new line.

    Raises:
        SlurmAnswerError: quoting the end of a cut answer.
    """
    if text and not text.endswith("\n"):
        raise SlurmAnswerError(f"the answer of {question} is cut off; it ends with {text[-60:]!r}")


def split_records(text: str, first_key: str, question: str) -> Iterator[Mapping[str, str]]:
    """Yield the records of an answer as key -> value.

    A record begins at a line that begins with ``first_key=``; what comes before the first one (a login
    banner) is passed over. Where a key comes twice the first one counts, because texts that people write
    (reasons, comments) come last and could imitate other keys. Values with spaces keep their first word.

    Raises:
        SlurmAnswerError: when the answer is cut off, or is a text but holds no record at all.
    """
    check_whole(text, question)
    start = f"{first_key}="
    lines: list[str] = []
    found = False
    for line in text.split("\n"):
        if line.startswith(start):
            if found:
                yield _pairs(lines)
            found = True
            lines = [line]
        elif found:
            lines.append(line)
    if found:
        yield _pairs(lines)
    elif text.strip() and not text.lstrip().startswith("No "):
        raise SlurmAnswerError(f"{question} answered something else than expected: {text.strip()[:120]!r}")


def required(record: Mapping[str, str], key: str, first_key: str) -> str:
    """Return a value that must be there; ``first_key`` is the key of the record's name.

    Raises:
        SlurmAnswerError: naming the key and the record.
    """
    try:
        return record[key]
    except KeyError:
        raise SlurmAnswerError(f"Slurm says nothing of {key} for {first_key}={record[first_key]}") from None


def _pairs(lines: list[str]) -> Mapping[str, str]:
    words = " ".join(lines).split(" ")
    words.reverse()  # dict() keeps the last of equal keys; reversed, that is the first one
    return dict([word.split("=", 1) for word in words if "=" in word])
