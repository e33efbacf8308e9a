#!/usr/bin/env bash
# ColorMNet, shot sh010, mode parallel: queue all tasks; each stage after the one before.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
previous=$(sbatch --parsable --array=0 "$here/task.sbatch")
previous="${previous%%;*}"
echo "prepass: job $previous"
previous=$(sbatch --parsable --dependency="afterok:$previous" --array=1-3%8 "$here/task.sbatch")
previous="${previous%%;*}"
echo "colour: job $previous"
