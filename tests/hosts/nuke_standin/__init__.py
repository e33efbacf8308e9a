"""A strict stand-in for the ``nuke`` module: it knows exactly the names of types-nuke and renders real EXR files.

It models what plugins trip over: group context, knob flags and their loss on save, callbacks and when they abort,
"already executing", main-thread rules, views, proxies, localization, Read's own cache, backslashes in scripts.
It is not Nuke: what only Nuke can show is listed in README.md.
"""

from .host import Host
from .images import Format, Image, read, write_exr
from .stubs import NotModelledError

__all__ = ["Format", "Host", "Image", "NotModelledError", "read", "write_exr"]
