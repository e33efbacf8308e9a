"""``colormnet weights``: what is installed, where it is looked for, and how to get the released checkpoint."""

import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

app = typer.Typer(no_args_is_help=False, pretty_exceptions_enable=False, invoke_without_command=True)


@app.callback()
def show(context: typer.Context) -> None:
    """Say which weights are installed, where they are looked for, and what the released file is."""
    if context.invoked_subcommand is not None:
        return
    from colormnet.network import checkpoint

    console = Console(soft_wrap=True, highlight=False)
    released = checkpoint.RELEASED_FILE
    found = checkpoint.find_released()
    console.print("lite      the default, free to use, part of the installation", style="bold")
    console.print(f"          {_state(checkpoint.LITE_FILE if checkpoint.LITE_FILE.is_file() else None)}", markup=False)
    console.print("released  the authors' network", style="bold")
    console.print(f"          {_state(found, released.size)}", markup=False)
    console.print(f"          file     {released.name}, {released.size:,} bytes", markup=False)
    console.print(f"          sha256   {released.sha256}")
    console.print(f"          from     {released.url}")
    console.print(f"          licence  {released.licence}")
    console.print("Looked for in:")
    places = checkpoint.weights_directories()
    for place in places:
        console.print(f"          {place}", markup=False)
    if not places:
        console.print(f"          nowhere: there is no home directory; set {checkpoint.WEIGHTS_VARIABLE}")
    else:
        console.print(f"          ({checkpoint.WEIGHTS_VARIABLE} adds folders in front, shared or read-only ones too)")
    if found is None:
        console.print("Get it with: colormnet weights fetch")


@app.command()
def fetch(
    to: Annotated[Path | None, typer.Option(help="Folder to put it in; default: the first that is looked in.")] = None,
) -> None:
    """Download the released checkpoint (495 MB, CC BY-NC-SA 4.0) and verify its size and hash."""
    from colormnet.network import checkpoint
    from colormnet.network.fetch import fetch as download

    console = Console(soft_wrap=True, highlight=False)
    released = checkpoint.RELEASED_FILE
    console.print(f"The released weights are under {released.licence}; ColorMNet's own code is not concerned.")
    columns = (TextColumn(released.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("download", total=released.size)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            path = download(to, lambda done, total: bar.update(task, completed=done, total=total))
    for warning in caught:
        console.print(f"Warning: {warning.message}", markup=False)
    console.print(f"{'Installed' if not caught else 'Kept'} {path}", markup=False)


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The checkpoint; default: the installed one.")] = None,
) -> None:
    """Compare the released checkpoint with its published size and hash, and load it strictly."""
    from colormnet.model import load_model
    from colormnet.network import checkpoint

    console = Console(soft_wrap=True, highlight=False)
    path = file if file is not None else checkpoint.locate_released()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_model("released", path, device="cpu")
    for warning in caught:
        console.print(f"Warning: {warning.message}", markup=False)
    console.print(f"{path} loads as the released network{'' if caught else '; size and hash agree'}", markup=False)


def _state(path: Path | None, size: int | None = None) -> str:
    if path is None:
        return "not installed"
    actual = path.stat().st_size
    if size is not None and actual != size:
        return f"installed at {path}, but with {actual:,} bytes instead of {size:,}"
    return f"installed at {path} ({actual / 1e6:.1f} MB)"
