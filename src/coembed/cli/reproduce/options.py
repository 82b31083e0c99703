"""The options of ``coembed reproduce`` and what its two budgets stand for (imports no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coembed.errors import ConfigError, check_at_least


@dataclass(frozen=True)
class Budget:
    """Amount of work for the paper's tables.

    Attributes:
        minutes: of training a learned model, for all folders of pairs together.
        limit: photos scored a folder.
        particles: of likelihood bounds.
        density_limit: photos of likelihood bounds.
        scores: which scores, see ``coembed.evaluation``.
    """

    minutes: float
    limit: int
    particles: int
    density_limit: int
    scores: Literal["basic", "full"]


BUDGETS = {
    "quick": Budget(minutes=0.6, limit=100, particles=10, density_limit=64, scores="full"),
    "full": Budget(minutes=60.0, limit=1000, particles=50, density_limit=200, scores="full"),
}


@dataclass(frozen=True)
class ReproduceConfig:
    """Train what is missing, evaluate it and write the paper's tables and figures as one page.

    What is done already is not done again, so a stopped report goes on with the same command.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    pairs: tuple[str, ...]
    """Folders of pairs with train/ and val/, as `coembed prepare` writes them; one section of the page each."""
    out: str
    """Folder of the report: index.html, tables/, figures/, scores/ and, unless given, runs/."""
    budget: Literal["quick", "full"] = "quick"
    """quick: about 20 minutes on 2 cores in all; full: an hour a model; folders share the minutes."""
    runs: str | None = None
    """Folder of trained models to use and to add to, RUNS/FOLDER/METHOD; by default OUT/runs."""
    originals: tuple[str, ...] = ()
    """Folders of the photos that the held-out pairs were made of: figures then show those photos, edited."""
    methods: tuple[str, ...] = ()
    """Only these methods (nearest is always there: it is what ratios are to); by default all but regression."""
    minutes: float | None = None
    """Minutes of training a learned model and folder of pairs, in place of the budget's."""
    batch_size: int = 0
    """Pairs a step of training; 0 is what suits each method."""
    limit: int | None = None
    """Photos scored, in place of the budget's."""
    samples: int = 100
    """Samples a photo."""
    photos: int = 6
    """Photos shown in the figures of samples; 0 leaves those figures out."""
    seed: int = 0
    """Of training and of every draw."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ConfigError("pairs: got none, expected at least one folder")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes: got {self.minutes}, expected more than 0")
        check_at_least(self, samples=4, photos=0, threads=0, batch_size=0, seed=0)
        if self.limit is not None and self.limit < 2:
            raise ConfigError(f"limit: got {self.limit}, expected 2 or more")
        unknown = [m for m in self.methods if m not in METHODS]
        if unknown:
            raise ConfigError(f"methods: got {unknown[0]!r}, expected some of {', '.join(METHODS)}")

    @property
    def chosen(self) -> tuple[str, ...]:
        """Methods in the order of the tables."""
        wanted = {*self.methods, REFERENCE} if self.methods else {m for m in METHODS if METHODS[m].usual}
        return tuple(m for m in METHODS if m in wanted)

    @property
    def encoder(self) -> str | None:
        """The method in whose codes ``nearest-codes`` looks: the last co-embedding model of those chosen."""
        return next((m for m in reversed(self.chosen) if METHODS[m].codes), None)

    def work(self) -> Budget:
        """The budget with the options of its own, minutes shared among the folders of pairs."""
        base = BUDGETS[self.budget]
        minutes = self.minutes if self.minutes is not None else base.minutes / len(self.pairs)
        limit = base.limit if self.limit is None else self.limit
        return Budget(minutes, limit, base.particles, min(base.density_limit, limit), base.scores)


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Attributes:
        label: as the paper calls it, or in our words.
        color: in every figure.
        paper: its row in the paper's tables, if it has one.
        kind: ``trained`` by steps; ``fitted`` in closed form and saved; ``held``: made of the training fields
            themselves, in seconds, whenever it is wanted, and never saved.
        preset: of ``coembed train``, if it is not the method's own name.
        options: of the preset, where they are not its own.
        codes: it is a co-embedding model, whose codes others may look into.
        shown: in the figure of methods side by side.
        usual: in a report that names no methods.
    """

    label: str
    color: str
    paper: str | None = None
    kind: Literal["trained", "fitted", "held"] = "trained"
    preset: str | None = None
    options: tuple[tuple[str, float], ...] = ()
    codes: bool = False
    shown: bool = True
    usual: bool = True

    @property
    def trained(self) -> bool:
        """True if it has training steps."""
        return self.kind == "trained"


REFERENCE = "nearest"
METHODS = {
    "nearest": Method("NN", "#6f6f6f", "NN", "held"),
    "nearest-unsmoothed": Method(
        "NN, not smoothed", "#9b9b9b", kind="held", preset="nearest", options=(("smoothing", 0.0),), shown=False
    ),
    "nearest-features": Method("NN, guidance space", "#8f7aa8", kind="held", shown=False),
    "nearest-codes": Method("NN, code space", "#b59bc9", kind="held", shown=False),
    "random": Method("random fields", "#c9c9c9", kind="held"),
    "regression": Method("regression", "#c2a878", shown=False, usual=False),
    "linear-gaussian": Method("linear-Gaussian", "#8c6d46", kind="fitted"),
    "cvae": Method("CVAE", "#f2a541", "CVAE"),
    "cvae-plus": Method("CVAE-plus", "#d1571c"),
    "paper-shallow": Method("Shallow", "#9ecae1", "Shallow", codes=True),
    "paper-gauss": Method("Gauss", "#5ba3d0", "Gauss", codes=True),
    "paper-mdn4": Method("MDN4", "#2b7bba", "MDN4", codes=True),
    "paper-mdn12": Method("MDN12", "#0b4a8f", "MDN12", codes=True),
    "default": Method("CoEmbed default", "#2a8a4a", codes=True),
}
