"""The benchmarks lie beside the package: with their folder on the path, ``import peers.flow``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
