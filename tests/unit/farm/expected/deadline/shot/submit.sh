#!/usr/bin/env bash
# ColorMNet, shot sh010, mode shot: submit to Deadline; each job after the one before.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
deadlinecommand="${DEADLINE_PATH:+$DEADLINE_PATH/}deadlinecommand"
previous=""
submit() {
  local info; info="$(mktemp)"
  cat "$here/$1.job_info.txt" >"$info"
  if [ -n "$previous" ]; then echo "JobDependencies=$previous" >>"$info"; fi
  previous="$("$deadlinecommand" "$info" "$here/$1.plugin_info.txt" | sed -n 's/^JobID=//p')"
  rm -f "$info"
  if [ -z "$previous" ]; then echo "$1: Deadline named no job" >&2; exit 1; fi
  echo "$1: job $previous"
}
submit colour
