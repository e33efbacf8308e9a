"""The real scripts through Slurm on loopback: the test starts its own munged, slurmctld and slurmd, and stops them."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .conftest import COLORMNET, HELD, pictures

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed here (no {', '.join(MISSING)})"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="Slurm's daemons are started by root"),
]

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=bf_interval=1,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=film Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(environment):
    """The environment for Slurm's commands; its daemons run until the module's end."""
    folder = Path(tempfile.mkdtemp(prefix="colormnet-slurm-", dir="/tmp"))  # a socket's path must be short
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    conf = folder / "slurm.conf"
    conf.write_text(CONFIGURATION.format(host=host, folder=folder, controller=free_port(), node=free_port()))
    here = {**environment, "SLURM_CONF": str(conf)}
    munge = ["munged", "--foreground", "--force", "--key-file", f"{folder}/munge.key", "--socket"]
    munge += [f"{folder}/munge.socket", "--pid-file", f"{folder}/munge.pid", "--log-file", f"{folder}/munge.log"]
    munge += ["--seed-file", f"{folder}/munge.seed"]
    daemons = []
    try:
        for words in (munge, ["slurmctld", "-D", "-f", str(conf)], ["slurmd", "-D", "-f", str(conf), "-N", host]):
            log = open(folder / f"{words[0]}.log", "wb")  # noqa: SIM115 - as long as the daemon
            daemons.append(subprocess.Popen(words, env=here, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
            deadline = time.monotonic() + 60
            while words is munge and not (folder / "munge.socket").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        deadline = time.monotonic() + 60
        while "idle" not in ask(["sinfo", "-h", "-o", "%T"], here):
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in daemons):
                logs = "\n".join(path.read_text(errors="replace")[-600:] for path in folder.glob("*.log"))
                pytest.skip(f"Slurm's daemons do not come up on this machine: {logs}")
            time.sleep(0.5)
        yield here
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)


def ask(words, here):
    return subprocess.run(words, env=here, capture_output=True, text=True, check=False).stdout


def queue(submit_words, here, *more):
    answer = subprocess.run(
        [COLORMNET, *submit_words, "--to", "slurm", "--queue", "film", "--check", *more],
        env=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    folder = submit_words[submit_words.index("--job") + 1]
    answer = subprocess.run(["bash", f"{folder}/submit.sh"], env=here, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return Path(folder), answer.stdout


def wait_until_done(here, folder, seconds=400):
    deadline = time.monotonic() + seconds
    while ask(["squeue", "-h"], here).strip():
        assert time.monotonic() < deadline, (ask(["squeue"], here), logs(folder))
        time.sleep(0.3)


def logs(folder):
    return "\n".join(path.read_text() for path in sorted(folder.glob("slurm-*.log")))


def test_a_chain_of_segments_keeps_order_and_pixels(submit_words, slurm, tmp_path, colorized):
    folder, said = queue(submit_words, slurm, "--mode", "segments", "--segment", "10")
    assert [line.split(":")[0] for line in said.splitlines()] == ["segment_001", "segment_002"]
    wait_until_done(slurm, folder)
    assert pictures(tmp_path / "out") == colorized, logs(folder)
    first, second = (path.read_text() for path in sorted(folder.glob("slurm-*.log"), key=lambda p: p.stat().st_mtime))
    assert "10 of 10" in first
    assert "10 of 10" in second, "the second goes on from the first one's state"


def test_a_task_told_to_stop_goes_back_into_the_queue_and_finishes(
    submit_words, slurm, held_environment, hold, tmp_path
):
    command = tmp_path / "colormnet"
    command.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, HELD])} "$@"\n')
    command.chmod(0o755)
    words = [str(command) if word == COLORMNET else word for word in submit_words]
    folder, said = queue(words, {**slurm, "COLORMNET_TEST_HOLD": held_environment["COLORMNET_TEST_HOLD"]})
    job = said.split()[-1]
    first = tmp_path / "out" / "shot.1002.png"
    deadline = time.monotonic() + 300
    while not first.exists():
        assert time.monotonic() < deadline, logs(folder)
        time.sleep(0.01)
    subprocess.run(["scancel", "--signal=TERM", "--batch", f"{job}_0"], env=slurm, check=True)
    deadline = time.monotonic() + 300
    while "stopping" not in logs(folder):
        assert time.monotonic() < deadline, logs(folder)
        time.sleep(0.1)
    (hold / "go").touch()
    wait_until_done(slurm, folder)
    said = logs(folder)
    assert "Stopped after frame" in said
    assert len(pictures(tmp_path / "out")) == 20, said
    assert said.count(" -> ") == 2, "it was started twice"
