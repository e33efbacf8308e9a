"""The DaVinci Resolve pass: black-and-white clips of a timeline come back coloured, as new takes.

Runs inside Resolve's own Python (3.6 to 3.13, standard library only) or in an external shell. All the work on pixels is
done by the ColorMNet worker; this package only talks to Resolve's scripting interface, whose calls fail by returning
``None`` or ``False``: every return value is checked here and read back.
"""

__version__ = "0.1.0"
