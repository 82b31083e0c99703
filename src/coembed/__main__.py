"""``python -m coembed`` is ``coembed``."""

import sys

from coembed.cli.main import main

sys.exit(main())
