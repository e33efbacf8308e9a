#!/usr/bin/env python3
"""Hand job.xml to the Cuebot named by CUEBOT_HOSTS. Needs the package opencue-pycue."""

import pathlib

import opencue

specification = pathlib.Path(__file__).with_name("job.xml").read_text(encoding="utf-8")
for job in opencue.api.launchSpecAndWait(specification):
    print(job.name())
