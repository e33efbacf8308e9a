"""The worker: one local process per user and device that keeps the memory of every shot between renders.

- `process`: locks, device, logging, idle exit; the whole life of the process.
- `server`, `connection`, `buffers`: sockets, hello, messages, shared memory.
- `sessions`, `shot`, `chain`: a shot's declared frames, exemplars and settings; how its results are named and replayed.
- `device`: the one thread that touches the network, taking turns between sessions.
- `store`: what is kept on disk, whole or not at all, bounded.
- `folder`: the control channel for hosts that have no sockets.
"""
