"""``coembed embed``: a map of the photos that guidance will take for similar, before any training."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coembed.errors import ConfigError
from coembed.serialization import write_bytes

if TYPE_CHECKING:
    import numpy as np

    from coembed.data.store.store import PairStore


@dataclass(frozen=True)
class EmbedConfig:
    """Show which pairs guidance takes for similar: a map of thumbnails, coloured by label, or a table."""

    pairs: Path
    """Folder of pairs, as `coembed prepare` writes it."""
    out: Path
    """PNG: thumbnails where their features put them, with a legend of labels. CSV: a line per pair, with name,
    label and coordinates."""
    label: float = 2.0
    """Weight of the share of each category (or of a clip's action); 0 leaves it out."""
    layout: float = 2.0
    """Weight of where each category is; 0 leaves it out."""
    pixels: float = 1.0
    """Weight of condition and field themselves; 0 leaves them out."""
    own: str | None = None
    """A .npy file of features of your own, (pairs, d), rows in the order of the pairs' names."""
    components: int = 2
    """Coordinates of a line of the CSV; the map shows the first two."""
    neighbors: int = 15
    """Neighbours a pair in the graph of similar pairs."""
    limit: int = 5_000
    """Most pairs to embed, evenly spread."""
    cells: int = 40
    """Thumbnails across the map; where several pairs meet in a cell, the one nearest its middle is shown."""
    thumbnail: int = 32
    """Side of a thumbnail in pixels."""

    def __post_init__(self):
        if self.out.suffix.lower() not in (".png", ".csv"):
            raise ConfigError(f"out: got {str(self.out)!r}, expected a name ending in .png or .csv")
        for name, low in (("components", 2), ("neighbors", 1), ("limit", 3), ("cells", 1), ("thumbnail", 8)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected at least {low}")


def run(config: EmbedConfig) -> int:
    """Write the map or the table and print where it is; the exit status."""
    print(run_embed(config))
    return 0


def run_embed(config: EmbedConfig) -> Path:
    """Embed pairs by their features and write the map or the table.

    Returns:
        The file written.

    Raises:
        DataError: pairs that are missing or damaged, or have none of the features.
        ConfigError: the file cannot be written.
    """
    from coembed.cli.output.embed_map import draw_map
    from coembed.data.names import clip_of
    from coembed.data.pairs import evenly_spaced
    from coembed.data.similarity.config import SimilarityConfig
    from coembed.data.similarity.embedding import make_targets
    from coembed.data.similarity.files import store_blocks
    from coembed.data.store.store import open_pairs

    options = SimilarityConfig(
        label=config.label,
        layout=config.layout,
        pixels=config.pixels,
        components=config.components,
        neighbors=config.neighbors,
    )
    store = open_pairs(config.pairs, "train")
    rows = evenly_spaced(len(store), config.limit).numpy()
    blocks = {name: b.rows(rows) for name, b in store_blocks(store, options.wanted, config.own).items()}
    names = [store.names[i] for i in rows]
    points = make_targets(blocks, None, options, [clip_of(name) for name in names]).condition[0]
    labels = labels_of(store, rows)
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        if config.out.suffix.lower() == ".csv":
            write_bytes(config.out, _table(names, labels, points))
        else:
            write_bytes(config.out, draw_map(store, rows, labels, points, config.cells, config.thumbnail))
    except OSError as error:
        raise ConfigError(f"{config.out}: cannot be written ({error})") from None
    return config.out


def labels_of(store: PairStore, rows: np.ndarray) -> list[str]:
    """The category there is most of in each pair; an empty text where none is known."""
    import numpy as np
    from scipy import sparse

    from coembed.data.similarity.files import known_blocks

    block = known_blocks(store).get("label")
    if block is None:
        return [""] * len(rows)
    values = block.values[rows]
    share = values.toarray() if sparse.issparse(values) else np.asarray(values)
    return [block.columns[i] if share[r, i] > 0 else "" for r, i in enumerate(share.argmax(1))]


def _table(names: list[str], labels: list[str], points: np.ndarray) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "label", *(f"x{i + 1}" for i in range(points.shape[1]))])
    for name, label, point in zip(names, labels, points, strict=True):
        writer.writerow([name, label, *(f"{x:.6g}" for x in point)])
    return text.getvalue().encode()
