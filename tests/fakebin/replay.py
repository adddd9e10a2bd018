"""Stands for scontrol, squeue, sacct and sinfo: prints the recorded answer to what it is asked.

The folder beside it named by ``answers-from`` holds one file per question (``scontrol-show-node.txt``), with
the separator of the recorder between fields. ``<question>.stderr`` and ``<question>.exit`` hold a complaint
and an exit code. Runs without any package, in milliseconds.
"""

import sys
from pathlib import Path

RECORDED_SEPARATOR = "\x1frec"
ROWS_ASKED_BY = {"sacct": "--delimiter=", "squeue": "--Format="}


def question(program, words):
    """Return the name of the question: the program and its words that are no options."""
    if "--helpformat" in words or "--version" in words:
        return f"{program}-{words[-1].removeprefix('--')}"
    return "-".join([program, *(word for word in words if not word.startswith("-"))])


def separator(program, words):
    """Return the separator that the caller asks for."""
    prefix = ROWS_ASKED_BY[program]
    value = next(word for word in words if word.startswith(prefix)).removeprefix(prefix)
    return value if program == "sacct" else value.split(",")[0].partition(":")[2]


def main():
    here = Path(sys.argv[0])
    program, words = here.name, sys.argv[1:]
    folder = Path((here.parent / "answers-from").read_text())
    name = question(program, words)
    text = (folder / f"{name}.txt").read_bytes() if (folder / f"{name}.txt").exists() else b""
    if program in ROWS_ASKED_BY and "--helpformat" not in words:
        text = text.replace(RECORDED_SEPARATOR.encode(), separator(program, words).encode())
    sys.stdout.buffer.write(text)
    complaint = folder / f"{name}.stderr"
    if complaint.exists():
        sys.stderr.write(complaint.read_text())
    code = folder / f"{name}.exit"
    sys.exit(int(code.read_text()) if code.exists() else 0)


main()
