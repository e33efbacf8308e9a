"""Render farms: jobs written for existing managers, and the tasks, checks and measurements that go with them.

- `shots`: what is to be done: shots, modes, stages; shot lists.
- `openjd`, `opencue`, `deadline`, `slurm`, `shell`: a job in each manager's form, and its check.
- `managers`: the table of them.
- `task`: what one task does when the manager runs it.
- `resident`, `session`: one process per manager's session that keeps the network loaded, and how tasks reach it.
- `verify`: whether what came back is whole and up to date.
- `compare`: what the modes cost and how far their results differ, measured.
"""
