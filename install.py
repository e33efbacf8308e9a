#!/usr/bin/env python3
"""Set up ColorMNet for compositors and run it. Needs nothing but Python 3.10+ with pip.

    python3 install.py demo              colour the bundled clip and show how well it went
    python3 install.py test              run the whole test suite (more arguments go to pytest)
    python3 install.py setup             only set up; --extras train,evaluate adds what those commands need
    python3 install.py doctor            say what is wrong with the installation, and what to do
    python3 install.py host nuke         add the panel to Nuke      (--dry-run shows it, --undo takes it out)
    python3 install.py host resolve      add the scripts to Resolve (--dry-run shows it, --undo takes it out)

    --torch-index URL    take PyTorch from another index, for example https://download.pytorch.org/whl/cu126
                         (Windows with an NVIDIA card) or https://download.pytorch.org/whl/cpu (smaller)

Everything goes into .venv beside this file (or into $COLORMNET_VENV); nothing else on the machine is changed, and
removing that folder removes the installation. Running it again takes no time.
"""

# mypy: ignore-errors
# This file keeps to the syntax of Python 3.6 and to the standard library, so that an old interpreter can say what is
# wrong with it instead of failing on the first line.
import hashlib
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent
OLDEST = (3, 10)
NEWER_NAMES = ["python3.13", "python3.12", "python3.11", "python3.10", "python3.14"]
STAMP = "colormnet-install.json"
ROOM_NEEDED = 8 * 2**30  # bytes: PyTorch for Linux brings its CUDA libraries along
MOST_AT_ONCE = 4  # files of tests; each may take 2 GB of memory
EXTRAS = {"demo": [], "setup": [], "doctor": [], "test": ["test"]}

CHECK_TORCH = """
import torch, torchvision
boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
assert torchvision.ops.nms(boxes, torch.tensor([1.0]), 0.5).tolist() == [0]
print("PyTorch " + torch.__version__ + ", torchvision " + torchvision.__version__)
"""

PIP_FAILURES = [  # (what pip's log says, what to tell and advise)
    (
        ["No space left on device", "Errno 28"],
        "the disk is full: make room (about 8 GB) or point COLORMNET_VENV elsewhere",
    ),
    (["ProxyError", "Tunnel connection failed"], "the proxy refused the connection: check HTTPS_PROXY"),
    (["CERTIFICATE_VERIFY_FAILED"], "the connection's certificate is not trusted: set PIP_CERT to your company's file"),
    (
        [
            "NewConnectionError",
            "Connection refused",
            "connection error:",
            "Temporary failure in name resolution",
            "Network is unreachable",
            "ConnectTimeoutError",
            "Failed to establish a new connection",
            "Read timed out",
            "ConnectionResetError",
        ],
        "the package index cannot be reached: check the network, or set HTTPS_PROXY or PIP_INDEX_URL",
    ),
    (
        ["Permission denied", "Errno 13"],
        "a folder cannot be written: check its owner, or point COLORMNET_VENV elsewhere",
    ),
    (
        ["No matching distribution found for torch", "from versions: none"],
        "there is no PyTorch for this Python and system: use a 64-bit Python 3.10 to 3.13",
    ),
    (["ResolutionImpossible"], "the packages on the index do not fit together: try again without --torch-index"),
]


class SetupError(Exception):
    """Set-up cannot go on; the message is one sentence that says what to do."""


def say(text):
    """A line for the user, at once even into a log."""
    print(text)
    sys.stdout.flush()


# --- the interpreter ---------------------------------------------------------------------------------------------


def interpreter_is_new_enough(version):
    """Whether a version tuple is one that the program runs on."""
    return tuple(version[:2]) >= OLDEST


def run_with_newer_interpreter(argv):
    """Start this script again with a Python that is new enough; its exit code. Raises SetupError."""
    mine = "Python {}.{}".format(*sys.version_info[:2])
    for name in NEWER_NAMES:
        path = shutil.which(name)
        if path:
            say(f"This is {mine}; using {path} instead.")
            return subprocess.call([path, str(ROOT / "install.py"), *argv])
    raise SetupError(
        f"{mine} is too old: install Python 3.10 or newer (python.org, or your system's packages) and run install.py "
        "with it."
    )


# --- the environment ---------------------------------------------------------------------------------------------


def environment_folder():
    """Where the private environment is or will be."""
    chosen = os.environ.get("COLORMNET_VENV")
    return pathlib.Path(chosen).expanduser().resolve() if chosen else ROOT / ".venv"


def environment_python(folder):
    """The environment's interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def works(command):
    """Whether a command runs and succeeds."""
    try:
        words = [str(part) for part in command]
        return (
            subprocess.call(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
        )
    except OSError:
        return False


def make_environment(folder):
    """Make the environment, with pip in it, by whichever way this machine has. Raises SetupError."""
    python = environment_python(folder)
    if works([python, "-m", "pip", "--version"]):
        return
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise SetupError(
            f"{folder} is there and is not a Python environment: empty it, or choose another folder with "
            "COLORMNET_VENV."
        )
    say(f"Making a private Python environment in {folder} ...")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"{folder} cannot be made ({error.strerror})"
        raise SetupError(what + ": choose another folder with COLORMNET_VENV.") from error
    ways = [
        [[sys.executable, "-m", "venv", "--clear", folder]],
        # Debian leaves ensurepip out of its python3; its pip can still fill an environment from outside.
        [
            [sys.executable, "-m", "venv", "--clear", "--without-pip", folder],
            [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pip"],
        ],
        [[sys.executable, "-m", "virtualenv", "--clear", folder]],
    ]
    for way in ways:
        if all(works(step) for step in way) and works([python, "-m", "pip", "--version"]):
            return
    raise SetupError(
        "This Python cannot make an environment (no venv with pip): on Debian or Ubuntu run 'sudo apt install "
        "python3-venv', elsewhere 'pip install virtualenv', then run install.py again."
    )


def wanted_state(extras, torch_index):
    """What decides whether the environment is up to date."""
    project = (ROOT / "pyproject.toml").read_bytes()
    return {
        "project": hashlib.sha256(project).hexdigest(),
        "root": str(ROOT),
        "python": "{}.{}".format(*sys.version_info[:2]),
        "torch_index": torch_index,
        "extras": sorted(extras),
    }


def installed_state(folder):
    """What the last successful set-up noted, or None."""
    try:
        return json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_up_to_date(installed, wanted):
    """Whether nothing has to be done: everything equal, and all wanted extras among the installed ones.

    No torch index in ``wanted`` accepts whatever index the environment was made from.
    """
    if not isinstance(installed, dict) or not set(wanted["extras"]) <= set(installed.get("extras", [])):
        return False
    if wanted["torch_index"] not in (None, installed.get("torch_index")):
        return False
    return all(installed.get(key) == wanted[key] for key in ("project", "root", "python"))


def pip(folder, arguments, what):
    """Run pip in the environment with its progress in sight. Raises SetupError with advice."""
    handle, log = tempfile.mkstemp(prefix="colormnet-pip-", suffix=".log")
    os.close(handle)
    command = [str(environment_python(folder)), "-m", "pip", "--disable-pip-version-check", "--log", log, *arguments]
    if not sys.stdout.isatty():  # on a terminal pip's bars show that a large download moves
        command.append("--quiet")
    quiet = dict(os.environ, PYTHONWARNINGS="ignore")  # setuptools warns of what is meant to be so
    code = subprocess.call(command, stdin=subprocess.DEVNULL, env=quiet)
    if code == 0:
        os.unlink(log)
        return
    text = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")
    raise SetupError(f"{what} could not be installed: {explain_pip_failure(text)} (pip's log: {log}).")


def explain_pip_failure(log):
    """What a failed pip run means and what to do, from its log."""
    for signs, advice in PIP_FAILURES:
        if any(sign in log for sign in signs):
            return advice
    return "pip stopped with an error, shown above"


def matching_torch(folder):
    """pip's requirements for a torch and a torchvision that were built for each other.

    PyPI's torchvision needs PyPI's torch of exactly one version. A local build of that version (2.9.0+cpu from a
    find-links folder) satisfies pip and fails on import, so what pip would choose is asked for first, and the plain
    release is demanded by string equality where only one of the two is a local build.
    """
    command = [
        str(environment_python(folder)),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--dry-run",
        "--ignore-installed",
        "--report",
        "-",
        *torch_requirements(),
    ]
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        items = json.loads(answer.stdout.decode("utf-8"))["install"]
        chosen = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in items}
        return exact_pair(chosen["torch"], chosen["torchvision"])
    except (OSError, ValueError, KeyError):
        return torch_requirements()  # pip itself will say what is wrong


def torch_requirements():
    """The project's own lines for torch and torchvision."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    found = [line.strip().strip('",') for line in lines if line.strip().startswith(('"torch>', '"torchvision>'))]
    return found or ["torch", "torchvision"]


def exact_pair(torch, torchvision):
    """Requirements for one pair of versions; a local build of only one of them is replaced by the plain release."""
    local_torch, local_vision = torch.partition("+")[2], torchvision.partition("+")[2]
    if local_torch != local_vision:
        torch, torchvision = torch.partition("+")[0], torchvision.partition("+")[0]
    return [f"torch==={torch}", f"torchvision==={torchvision}"]


def check_torch(folder):
    """The versions of a working pair. Raises SetupError where the two do not work together."""
    answer = subprocess.run(
        [str(environment_python(folder)), "-c", CHECK_TORCH], stdin=subprocess.DEVNULL, capture_output=True
    )
    if answer.returncode == 0:
        return answer.stdout.decode("utf-8", "replace").strip()
    lines = answer.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
    raise SetupError(
        f"PyTorch and torchvision do not work together ({lines[-1]}): remove the folder {folder} and run install.py "
        "again, on Windows after installing Microsoft's Visual C++ Redistributable."
    )


def warn_of_little_room(folder):
    """A line where the disk is likely to be too small."""
    free = shutil.disk_usage(str(folder)).free
    if free < ROOM_NEEDED:
        say(
            f"Note: {free / 2**30:.1f} GB are free at {folder}; the installation may need {ROOM_NEEDED / 2**30:.0f} GB."
        )


def set_up(extras, torch_index):
    """Bring the environment up to date; the environment's interpreter."""
    folder = environment_folder()
    wanted = wanted_state(extras, torch_index)
    installed = installed_state(folder)
    python = environment_python(folder)
    if is_up_to_date(installed, wanted) and python.exists():
        return python
    make_environment(folder)
    warn_of_little_room(folder)
    same_torch = False
    if installed is not None:
        # What an earlier run added stays wanted: a demo after the tests must not make the tests install again.
        wanted["extras"] = sorted(set(wanted["extras"]) | set(installed.get("extras", [])))
        wanted["torch_index"] = torch_index or installed.get("torch_index")
        same_torch = wanted["torch_index"] == installed.get("torch_index") and works([python, "-c", CHECK_TORCH])
        (folder / STAMP).unlink()
    if same_torch:
        say("[1/2] PyTorch is there and works.")
    else:
        say("[1/2] Installing PyTorch (a large download the first time: 0.2 to 3 GB) ...")
        if not works([python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade", "pip"]):
            say("      pip stays as it is: the index did not answer.")
        if wanted["torch_index"]:
            # Another build of a version that is there already would not be looked at.
            again = ["--force-reinstall"] if installed is not None else []
            index = ["--index-url", wanted["torch_index"]]
            pip(folder, ["install", *index, *again, *torch_requirements()], "PyTorch from " + wanted["torch_index"])
        else:
            pip(folder, ["install", *matching_torch(folder)], "PyTorch")
    say("[2/2] Installing ColorMNet and what it uses ...")
    name = str(ROOT) + ("[{}]".format(",".join(wanted["extras"])) if wanted["extras"] else "")
    pip(folder, ["install", "--editable", name], "ColorMNet")
    say(f"      {check_torch(folder)} work together.")
    temporary = folder / (STAMP + ".tmp")
    temporary.write_text(json.dumps(wanted), encoding="utf-8")
    os.replace(str(temporary), str(folder / STAMP))
    say("Set-up is done.")
    return python


# --- the commands ------------------------------------------------------------------------------------------------


def side_by_side():
    """pytest's arguments that run as many files at once as the machine has room for; every process uses one core.

    The files in their own order, not the ones with most tests first: the few long tests come early.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    at_once = min(cores, MOST_AT_ONCE)
    return ["-n", str(at_once), "--dist", "loadfile", "--no-loadscope-reorder"] if at_once > 1 else []


def run_tests(python, arguments):
    """Lint, types, then pytest, whose closing line is the last one; 0 only when all of them pass."""
    checks = [
        ("ruff check", ["-m", "ruff", "check", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "."]),
        ("mypy", ["-m", "mypy"]),
    ]
    failed = []
    for name, command in checks:
        say(f"--- {name}")
        if subprocess.call([str(python), *command], cwd=str(ROOT), stdin=subprocess.DEVNULL) != 0:
            failed.append(name)
    say("--- pytest" + (" (already failed: {})".format(", ".join(failed)) if failed else ""))
    chosen = arguments or [*side_by_side(), "-m", "not benchmark"]
    code = subprocess.call([str(python), "-m", "pytest", *chosen], cwd=str(ROOT), stdin=subprocess.DEVNULL)
    return code or (1 if failed else 0)


def run_host(arguments):
    """Hand over to the installer of a host."""
    hosts = {"nuke": "install_nuke", "resolve": "install_resolve"}
    if not arguments or arguments[0] not in hosts:
        raise SetupError("Which host? Write 'install.py host nuke' or 'install.py host resolve'.")
    sys.path.insert(0, str(ROOT / "plugin"))
    module = importlib.import_module("colormnet_host." + hosts[arguments[0]])
    return module.main(arguments[1:], ROOT)


def parse(argv):
    """(command, torch index or None, extras, the command's own arguments). Raises SetupError."""
    torch_index, extras, rest = None, [], []
    queue = list(argv)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--torch-index", "--extras") and rest[:1] != ["host"]:
            if not equals:
                if not queue:
                    raise SetupError(f"{name} needs a value.")
                value = queue.pop(0)
            if name == "--extras":
                extras = [extra.strip() for extra in value.split(",") if extra.strip()]
            else:
                torch_index = value
        else:
            rest.append(word)
    if not rest or rest[0] in ("-h", "--help", "help"):
        return "help", torch_index, extras, []
    if rest[0] not in EXTRAS and rest[0] != "host":
        raise SetupError(f"'{rest[0]}' is not a command: write demo, test, setup, doctor or host.")
    return rest[0], torch_index, extras, rest[1:]


def main(argv):
    """Exit code: 0 done, 1 tests failed, 2 set-up or usage failed, else that of the command run."""
    try:
        command, torch_index, extras, arguments = parse(argv)
        if command == "help":
            say(__doc__.strip())
            return 0 if argv else 2
        if command == "host":
            return run_host(arguments)
        if not interpreter_is_new_enough(sys.version_info):
            return run_with_newer_interpreter(argv)
        python = set_up(EXTRAS[command] + extras, torch_index)
        if command == "setup":
            say(f"Use it with: {python} -m colormnet.cli.main --help")
            return 0
        if command == "test":
            return run_tests(python, arguments)
        return subprocess.call([str(python), "-m", "colormnet.cli.main", command, *arguments])
    except SetupError as failure:
        sys.stdout.flush()
        sys.stderr.write(f"install.py: {failure}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\ninstall.py: stopped; run it again to go on.\n")
        return 5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
