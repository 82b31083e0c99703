"""The peers lie beside the package, in ``benchmarks/``: ``from peers.flow import Flow`` works in these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
