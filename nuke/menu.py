"""Loaded by Nuke with a GUI: Nodes > Draw > ColorMNet, Nodes > Color > ColorMNet and a toolbar icon."""

import nuke

CREATE = "import colormnet_nuke.build; colormnet_nuke.build.create_from_selection()"

for place in ("Draw", "Color"):
    nuke.menu("Nodes").addMenu(place).addCommand("ColorMNet", CREATE, icon="ColorMNet.png")
toolbar = nuke.toolbar("Nodes")
if toolbar is not None:
    toolbar.addCommand("ColorMNet", CREATE, icon="ColorMNet.png")
