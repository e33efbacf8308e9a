#!/usr/bin/env bash
# ColorMNet, shot sh010, mode segments: queue all tasks; each stage after the one before.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
previous=$(sbatch --parsable --array=0 "$here/task.sbatch")
previous="${previous%%;*}"
echo "segment_001: job $previous"
previous=$(sbatch --parsable --dependency="afterok:$previous" --array=1 "$here/task.sbatch")
previous="${previous%%;*}"
echo "segment_002: job $previous"
previous=$(sbatch --parsable --dependency="afterok:$previous" --array=2 "$here/task.sbatch")
previous="${previous%%;*}"
echo "segment_003: job $previous"
