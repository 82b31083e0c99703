"""The peers by the name that ``--peers`` takes; imported when one is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from coembed.errors import ConfigError

if TYPE_CHECKING:
    from peers.peer import Peer

PEERS: dict[str, tuple[str, str]] = {
    "flow": ("peers.flow", "Flow"),
    "hierarchical": ("peers.hierarchical", "Hierarchical"),
    "energy": ("peers.energy", "Energy"),
    "joint": ("peers.joint", "Joint"),
}
"""Name -> module and class; the class is made of the two shapes alone."""


def peer_class(name: str) -> type[Peer]:
    """The class of a peer.

    Raises:
        ConfigError: no such peer.
    """
    if name not in PEERS:
        raise ConfigError(f"peers: got {name!r}, expected of {', '.join(PEERS)}")
    module, attribute = PEERS[name]
    return getattr(import_module(module), attribute)
