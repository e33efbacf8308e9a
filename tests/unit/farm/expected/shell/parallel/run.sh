#!/usr/bin/env bash
# ColorMNet, shot sh010, mode parallel: 120 frames. Runs every task here; run it again to go on after a stop.
# COLORMNET_JOBS: tasks at once where the mode allows it (default 1).
set -u
jobs="${COLORMNET_JOBS:-1}"
pids=()
asked=0
stopped=0
stop() { asked=1; stopped=1; for pid in "${pids[@]+"${pids[@]}"}"; do kill -TERM "$pid" 2>/dev/null; done; }
trap stop TERM INT

# A signal ends the wait and not the task, which still writes its snapshot: wait again.
finish() {
  local code
  asked=1
  while [ "$asked" -eq 1 ]; do asked=0; wait "$1"; code=$?; done
  if [ "$code" -ne 0 ] && [ "$worst" -eq 0 ]; then worst=$code; fi
}
worst=0
run() {
  if [ "$stopped" -ne 0 ]; then worst=5; return; fi
  if [ "${#pids[@]}" -ge "$jobs" ]; then finish "${pids[0]}"; pids=("${pids[@]:1}"); fi
  if [ "$worst" -ne 0 ]; then return; fi
  "$@" & pids+=("$!")
}
stage_done() {
  for pid in "${pids[@]+"${pids[@]}"}"; do finish "$pid"; done
  pids=()
  if [ "$worst" -ne 0 ]; then exit "$worst"; fi
}

# prepass
run colormnet farm task '/plates/sh 010/plate.####.exr' -e /refs/key.png@1001 -e '/refs/old film.mov#12' -o '/renders/sh010/sh010.####.exr' --frames 1001-1120 --weights /studio/weights/lite.safetensors --space ACEScg --prepass-every 50 --prepass
stage_done

# colour
run colormnet farm task '/plates/sh 010/plate.####.exr' -e /refs/key.png@1001 -e '/refs/old film.mov#12' -o '/renders/sh010/sh010.####.exr' --frames 1001-1120 --weights /studio/weights/lite.safetensors --space ACEScg --prepass-every 50 --part 1001-1050
run colormnet farm task '/plates/sh 010/plate.####.exr' -e /refs/key.png@1001 -e '/refs/old film.mov#12' -o '/renders/sh010/sh010.####.exr' --frames 1001-1120 --weights /studio/weights/lite.safetensors --space ACEScg --prepass-every 50 --part 1051-1100
run colormnet farm task '/plates/sh 010/plate.####.exr' -e /refs/key.png@1001 -e '/refs/old film.mov#12' -o '/renders/sh010/sh010.####.exr' --frames 1001-1120 --weights /studio/weights/lite.safetensors --space ACEScg --prepass-every 50 --part 1101-1120
stage_done
