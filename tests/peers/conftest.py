"""The peers lie beside the package, in ``benchmarks/``: with it on the path, ``import peers.flow``.

Makes ``toys.py`` importable too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parent))
