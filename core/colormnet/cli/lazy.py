"""Commands that are imported only when they are run: ``colormnet --help`` needs neither torch nor time."""

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from colormnet.errors import ColorMNetError


@dataclass(frozen=True)
class LazyCommand:
    """Where a command lives: ``module`` has a typer ``app``; ``extra`` is what to install when a package is missing."""

    module: str
    help: str
    extra: str | None = None


class LazyGroup(TyperGroup):
    """A typer group over `LazyCommand`; turns the engine's errors into one line and their exit codes."""

    lazy: dict[str, LazyCommand] = {}  # noqa: RUF012 - filled by the subclass, one per program
    _for_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, in the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself, or a stand-in with its one line of help while the list is printed."""
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return None
        if self._for_listing:
            return TyperCommand(cmd_name, help=entry.help)
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError as error:
            raise _missing(cmd_name, entry, error) from error
        return typer.main.get_command(module.app)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help without importing any command."""
        self._for_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._for_listing = False

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that is meant for the user is one line and an exit code."""
        try:
            return super().invoke(ctx)
        except ColorMNetError as error:
            if os.environ.get("COLORMNET_TRACEBACK"):
                raise
            typer.echo(f"colormnet: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo("colormnet: stopped.", err=True)
            raise typer.Exit(5) from error
        except BrokenPipeError as error:
            sys.stderr.close()
            raise typer.Exit(1) from error


class _MissingError(ColorMNetError):
    exit_code = 2


def _missing(name: str, entry: LazyCommand, error: ModuleNotFoundError) -> ColorMNetError:
    if error.name is not None and error.name == entry.module:
        return _MissingError(f"The command '{name}' is not part of this installation; install the project again.")
    what = f"the package '{error.name}'"
    if entry.extra is None:
        return _MissingError(f"The command '{name}' needs {what}, which is not installed; run install.py again.")
    return _MissingError(
        f"The command '{name}' needs {what}; install it with: pip install 'colormnet[{entry.extra}]' (from a clone: "
        f"pip install -e '.[{entry.extra}]')."
    )
