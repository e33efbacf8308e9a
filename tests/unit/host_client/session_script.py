"""Run by every Python a host may have: a session with buffers, files, a cancel and an error; prints what it got."""

import hashlib
import json
import sys
import threading

from colormnet_host.client import Cancelled, Client, NeedFrames, WorkerError
from colormnet_host.job import Exemplar, Image, SessionSettings
from colormnet_host.launcher import Launcher
from colormnet_host.protocol import Pixels

name, space, exemplar, plate, output, raw = sys.argv[1:]
answers = {}
with open(raw, "rb") as file:
    data = file.read()
pixels = Pixels(96, 64, 3, "half")
for use_mmap in (True, False):
    with Client(Launcher(device="cpu", python="/nowhere"), name=name, use_mmap=use_mmap) as client:
        session = client.open_session(
            name, SessionSettings(space=space, working_size=64), [1, 2, 3, 4], [Exemplar(exemplar)]
        )
        tickets = [session.submit(frame, Image(data, pixels)) for frame in (1, 2)]
        results = [ticket.result() for ticket in tickets]
        answers["buffers"] = [hashlib.sha256(bytes(result.image.data)).hexdigest() for result in results]
        answers["mmap " + str(use_mmap)] = answers["buffers"]
        assert bytes(client.echo(Image(data, pixels))) == data
        try:
            session.colorize(4, Image(data, pixels))
        except NeedFrames as error:
            answers["needed"] = error.frames
        try:
            session.colorize(3, Image(data, pixels), cancel=lambda: True)
            answers["cancel"] = "too late"
        except Cancelled:
            answers["cancel"] = "cancelled"
        try:
            session.colorize(77, Image(data, pixels))
        except WorkerError as error:
            answers["wrong"] = error.code
        files = client.open_session(
            name + " files",
            SessionSettings(space=space, working_size=64),
            range(1001, 1013),
            [Exemplar(exemplar, frame=1001)],
        )
        result = files.colorize(1001, plate, output, progress=lambda said: None)
        answers["file"] = [result.frame, result.output == output, 0.0 <= result.confidence <= 1.0]
        thread = threading.Thread(target=client.status)
        thread.start()
        thread.join()
        answers["status"] = client.status().state in ("idle", "colouring")
print(json.dumps(answers))
