"""The package's own exceptions: every mistake a user can make ends in one of these.

A message names the file (or argument), the value seen and the value that was expected.
"""


class CoEmbedError(Exception):
    """Base class of every error that CoEmbed raises on purpose."""


class PhotoError(CoEmbedError):
    """A photo that cannot be read or written: missing, truncated, too large, not an image."""


class DataError(CoEmbedError):
    """Pairs or annotations that are missing, damaged or of the wrong shape."""


class ConfigError(CoEmbedError):
    """An option that is unknown, of the wrong type, or outside its range."""


class ModelError(CoEmbedError):
    """Weights or a model folder that cannot be loaded or do not fit the input."""


class TrainingError(CoEmbedError):
    """A training run that cannot start, cannot resume, or has diverged."""


def check_at_least(config: object, **minimums: float) -> None:
    """Check options of a dataclass against their minimums.

    Raises:
        ConfigError: a value below, or not a number; the message names the option.
    """
    for name, minimum in minimums.items():
        if not getattr(config, name) >= minimum:
            raise ConfigError(f"{name}: got {getattr(config, name)}, expected {minimum} or more")
