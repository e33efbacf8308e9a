"""``colormnet``: the entry point of the command line."""

import typer

from .lazy import LazyCommand, LazyGroup


class Commands(LazyGroup):
    """All commands of the program, in the order a newcomer meets them."""

    lazy = {  # noqa: RUF012 - the table is the class
        "demo": LazyCommand("colormnet.cli.demo", "Colour the bundled clip and show how well it went."),
        "colorize": LazyCommand("colormnet.cli.colorize", "Colour a sequence or a movie from one or more exemplars."),
        "doctor": LazyCommand("colormnet.cli.doctor", "Say what is wrong with this installation, and what to do."),
        "weights": LazyCommand("colormnet.cli.weights", "Show, check and fetch the networks' weights."),
        "worker": LazyCommand("colormnet.cli.worker", "Start, stop and inspect the local worker that hosts talk to."),
        "farm": LazyCommand("colormnet.cli.farm", "Write, check and verify render farm jobs.", "farm"),
        "evaluate": LazyCommand("colormnet.cli.evaluate", "Measure models and baselines on clips.", "evaluate"),
        "train": LazyCommand("colormnet.cli.train", "Train a network.", "train"),
    }


app = typer.Typer(
    cls=Commands,
    name="colormnet",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from colormnet import __version__

        typer.echo(f"colormnet {__version__}")
        raise typer.Exit(0)


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Colour black-and-white footage from reference pictures.

    Exit codes: 0 done, 2 bad usage or input, 3 missing or wrong weights, 4 device failure, 5 interrupted (resumable).
    """


def run() -> None:
    """The console script."""
    app(prog_name="colormnet")


if __name__ == "__main__":
    run()
