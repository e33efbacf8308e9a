"""``colormnet worker``: start, stop and inspect the local worker that hosts talk to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from colormnet.errors import ColorMNetError, DeviceError, InputError

app = typer.Typer(no_args_is_help=True, help="Start, stop and inspect the local worker that hosts talk to.")

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda:0: there is one worker for each device.")]
MIB = 1 << 20


class _Unavailable(ColorMNetError):
    exit_code = 4


@app.command()
def run(
    device: DeviceOption = "auto",
    parent: Annotated[int | None, typer.Option(help="Process that started the worker; watched.")] = None,
    watch: Annotated[list[Path] | None, typer.Option(help="Further folder to look for requests in.")] = None,
    idle: Annotated[float, typer.Option(help="End after so many seconds without work; 0: never.")] = 900.0,
    orphan: Annotated[float, typer.Option(help="End so many seconds after the starter and all clients left.")] = 30.0,
    disk: Annotated[int, typer.Option(help="Most that the sessions may hold on disk, in MiB.")] = 20 * 1024,
    keys: Annotated[int, typer.Option(help="Most that cached keys may hold in memory, in MiB.")] = 1024,
    planes: Annotated[int, typer.Option(help="Most that plates' luminance may hold in memory, in MiB.")] = 512,
    states: Annotated[int, typer.Option(help="Memories of shots kept on the device at once.")] = 4,
    snapshots: Annotated[int, typer.Option(help="Snapshots kept for each session.")] = 20,
    device_share: Annotated[float, typer.Option(help="Share of the GPU's memory that may be used.")] = 1.0,
) -> None:
    """Serve in the foreground until idle or stopped. Hosts start this by themselves."""
    from colormnet.worker import process
    from colormnet.worker.limits import WorkerLimits

    limits = WorkerLimits(
        disk_bytes=disk * MIB,
        key_cache_bytes=keys * MIB,
        plane_cache_bytes=planes * MIB,
        live_states=states,
        snapshots=snapshots,
        idle_seconds=idle,
        orphan_seconds=orphan,
        device_fraction=device_share,
    )
    for folder in watch or []:
        if not folder.is_absolute():
            raise InputError(f"The folder to watch must be absolute, not '{folder}'.")
    job = process.WorkerJob(device, process.default_places(device), limits, parent, tuple(watch or []))
    raise typer.Exit(process.run(replace(job, on_ready=lambda found: typer.echo(f"listening on {found.address}"))))


@app.command()
def start(device: DeviceOption = "auto") -> None:
    """Start the worker in the background, unless it runs already. It ends after 15 minutes without work, or by stop."""
    from colormnet_host.client import Client

    # This command ends at once; the worker is for whoever comes next.
    with Client(_launcher(device, attended=False), name="colormnet worker start") as client:
        try:
            client.connect(progress=lambda said: typer.echo(said.message))
            found = client.status()
        except Exception as error:
            raise _explained(error) from error
    if found is not None:
        typer.echo(f"The worker runs: process {found.pid} on {found.device}.")
        if found.device_note:
            typer.echo(found.device_note, err=True)


@app.command()
def status(
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show sessions, frames, memory, device and rate of the running worker."""
    from colormnet_host.client import Client

    with Client(_launcher(device), name="colormnet worker status") as client:
        try:
            found = client.status()
        except Exception as error:
            raise _explained(error) from error
    if as_json:
        typer.echo(json.dumps(None if found is None else found._asdict(), indent=1))
        return
    if found is None:
        typer.echo(_none_runs(device))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None)
    for name, value in (
        ("process", f"{found.pid}, up {found.uptime:.0f} s, {found.connections} connected"),
        ("device", found.device),
        ("state", found.state),
        ("models", ", ".join(found.models) or "none loaded"),
        ("frames", f"{found.frames_done} done, {found.frames_per_second:.2f} a second"),
        ("memory", f"{found.memory_bytes / MIB:.0f} MiB, on the device {found.device_bytes / MIB:.0f} MiB"),
        ("disk", f"{found.disk_bytes / MIB:.0f} MiB"),
    ):
        table.add_row(name, value)
    console.print(table)
    for note in (found.device_note, found.disk_note):
        if note:
            console.print(note, style="bold yellow", markup=False)
    if found.sessions:
        sessions = Table("session", "frames", "done", "exemplars", "model", "MiB", "open")
        for each in found.sessions:
            sessions.add_row(
                str(each["name"]),
                str(each["frames"]),
                str(each["frames_done"]),
                str(each["exemplars"]),
                str(each["model"]),
                f"{each['bytes'] / MIB:.1f}",
                "yes" if each["open"] else "on disk",
            )
        console.print(sessions)


@app.command()
def stop(device: DeviceOption = "auto") -> None:
    """Stop the worker after the frame in hand; its sessions stay on disk."""
    from colormnet_host.client import Client

    with Client(_launcher(device), name="colormnet worker stop") as client:
        try:
            ran = client.stop()
        except Exception as error:
            raise _explained(error) from error
    typer.echo("The worker has stopped." if ran else _none_runs(device))


@app.command()
def free(device: DeviceOption = "auto") -> None:
    """Take models and memories off the device; the worker stays and loads again when asked."""
    from colormnet_host.client import Client

    with Client(_launcher(device), name="colormnet worker free") as client:
        try:
            ran = client.free_gpu()
        except Exception as error:
            raise _explained(error) from error
    typer.echo("The device is free." if ran else _none_runs(device))


@app.command()
def forget(session: str, device: DeviceOption = "auto") -> None:
    """Delete everything kept of a session."""
    from colormnet_host.client import Client

    with Client(_launcher(device), name="colormnet worker forget") as client:
        try:
            client.forget_session(session)
        except Exception as error:
            raise _explained(error) from error
    typer.echo(f"Nothing is kept of the session {session} any more.")


def _launcher(device: str, attended: bool = True) -> Any:
    import sys

    from colormnet_host.launcher import Launcher

    return Launcher(device=device, python=sys.executable, attended=attended)


def _none_runs(device: str) -> str:
    """That no worker runs for a device, and for which ones there is one."""
    from colormnet_host import endpoint

    others = set()
    try:
        runtime = Path(endpoint.runtime_directory())
        for file in runtime.glob("engine-*.json"):
            found = endpoint.read_endpoint(str(file))
            if found is not None and endpoint.process_start(found.pid) is not None:
                others.add(found.device)
    except (OSError, endpoint.UnsafeDirectory):
        return "No worker runs."
    if not others:
        return "No worker runs."
    return f"No worker runs for the device {device}; there is one for {' and '.join(sorted(others))} (--device)."


def _explained(error: Exception) -> Exception:
    """The client's errors as the engine's, which carry an exit code."""
    from colormnet_host.client import WorkerError
    from colormnet_host.launcher import WorkerUnavailable

    if isinstance(error, WorkerUnavailable):
        return _Unavailable(str(error))
    if isinstance(error, WorkerError):
        return InputError(str(error)) if error.code == "input" else DeviceError(str(error))
    return error


if __name__ == "__main__":
    app()
