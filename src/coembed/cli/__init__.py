"""The ``coembed`` command: one file per verb, and what they write."""
