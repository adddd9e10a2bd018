"""The one error this package raises for its user."""


class ClusterError(Exception):
    """A cluster cannot do what was asked; the text is for the person at the terminal."""

    exit_code = 1


class UsageError(ClusterError):
    """What was asked makes no sense: a bad name, an unknown setting, a value out of range."""

    exit_code = 2
