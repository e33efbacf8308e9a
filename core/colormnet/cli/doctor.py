"""``colormnet doctor``: what is wrong with this installation, and what to do."""

from pathlib import Path
from typing import Annotated

import typer

from colormnet.diagnosis import Verdict, diagnose

app = typer.Typer(pretty_exceptions_enable=False)

MARKS = {Verdict.ok: "ok   ", Verdict.note: "note ", Verdict.wrong: "WRONG"}


@app.command()
def doctor(
    folder: Annotated[Path, typer.Option("--folder", help="Where output would be written.")] = Path("."),
) -> None:
    """Say what is wrong with this installation, and what to do.

    Exit codes: 0 nothing is wrong (notes are no faults), 2 something is.
    """
    wrong = 0
    for finding in diagnose(folder.resolve()):
        typer.echo(f"{MARKS[finding.verdict]}  {finding.subject:<17} {finding.text}")
        if finding.advice:
            typer.echo(f"{'':<25}-> {finding.advice}")
        wrong += finding.verdict is Verdict.wrong
    if wrong:
        typer.echo(f"\n{wrong} thing{'s' if wrong > 1 else ''} to mend.")
        raise typer.Exit(2)
    typer.echo("\nNothing is wrong.")
