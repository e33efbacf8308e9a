"""Find the running Resolve and check its edition, before anything else is asked of it."""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from .checks import got, offers
from .errors import PassError

if TYPE_CHECKING:
    import fusionscript

NOT_CONNECTED = (
    "DaVinci Resolve does not answer: start DaVinci Resolve Studio, set Preferences > System > General > "
    "'External scripting using' to Local, and run this again (the free edition never answers scripts from outside)."
)
FREE_EDITION = (
    "This is {product} {version}, the free edition, which cannot be scripted: the ColorMNet pass needs DaVinci Resolve "
    "Studio; in the free edition export the clip as EXR, run 'colormnet colorize' on it, and import the result by hand."
)


class Edition(NamedTuple):
    """What Resolve says it is."""

    product: str
    version: str


def script_paths(platform: str, environment: Dict[str, str]) -> Tuple[str, str]:
    """(RESOLVE_SCRIPT_API, RESOLVE_SCRIPT_LIB): from the environment, else where the vendor installs them."""
    if platform == "darwin":
        api = "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting"
        lib = "/Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/Libraries/Fusion/fusionscript.so"
    elif platform.startswith("win"):
        program_data = environment.get("PROGRAMDATA", r"C:\ProgramData")
        program_files = environment.get("PROGRAMFILES", r"C:\Program Files")
        api = program_data + r"\Blackmagic Design\DaVinci Resolve\Support\Developer\Scripting"
        lib = program_files + r"\Blackmagic Design\DaVinci Resolve\fusionscript.dll"
    else:
        api = "/opt/resolve/Developer/Scripting"
        lib = "/opt/resolve/libs/Fusion/fusionscript.so"
    return environment.get("RESOLVE_SCRIPT_API", api), environment.get("RESOLVE_SCRIPT_LIB", lib)


def _import_from_outside() -> Any:
    api, lib = script_paths(sys.platform, dict(os.environ))
    os.environ.setdefault("RESOLVE_SCRIPT_API", api)
    os.environ.setdefault("RESOLVE_SCRIPT_LIB", lib)
    modules = os.path.join(api, "Modules")
    added = modules not in sys.path
    if added:
        sys.path.append(modules)
    try:
        return importlib.import_module("DaVinciResolveScript")
    except (ImportError, OSError, SystemError) as error:
        raise PassError(
            "DaVinci Resolve's scripting module cannot be loaded from {0} ({1}): install DaVinci Resolve Studio, or "
            "set RESOLVE_SCRIPT_API and RESOLVE_SCRIPT_LIB to its folders.".format(modules, error)
        ) from error
    finally:
        if added:
            sys.path.remove(modules)


def connect(namespace: Optional[Dict[str, Any]] = None) -> "fusionscript.Resolve":
    """The running Resolve.

    ``namespace`` is the menu script's ``globals()``: Resolve puts ``resolve``, ``bmd`` and ``fusion`` there. Without
    it (an external shell, also beside ``resolve -nogui``) the vendor's module is imported. Raises PassError.
    """
    names = namespace or {}
    resolve = names.get("resolve")
    if resolve is None and names.get("bmd") is not None and offers(names["bmd"], "scriptapp"):
        resolve = names["bmd"].scriptapp("Resolve")
    if resolve is None:
        module = _import_from_outside()
        resolve = module.scriptapp("Resolve")
    if got(resolve) is None:
        raise PassError(NOT_CONNECTED)
    found: fusionscript.Resolve = resolve
    return found


def check_edition(resolve: "fusionscript.Resolve") -> Edition:
    """The product and version; raises PassError with a clear sentence for the free edition. Always the first call."""
    product = resolve.GetProductName()
    if not product:
        raise PassError(NOT_CONNECTED)
    version = str(resolve.GetVersionString() or "")
    if "studio" not in str(product).lower():
        raise PassError(FREE_EDITION.format(product=product, version=version or "(version unknown)"))
    return Edition(str(product), version)


def ui_parts(resolve: Any, namespace: Optional[Dict[str, Any]] = None) -> List[Any]:
    """[UIManager, UIDispatcher] where this Resolve has a window to show, else []; never raises."""
    names = namespace or {}
    bmd = got(names.get("bmd"))
    fusion = names.get("fu") or names.get("fusion")
    if fusion is None and offers(resolve, "Fusion"):
        fusion = resolve.Fusion()
    if bmd is None or got(fusion) is None:
        return []
    manager = getattr(fusion, "UIManager", None)
    if got(manager) is None or not offers(bmd, "UIDispatcher"):
        return []
    dispatcher = bmd.UIDispatcher(manager)
    return [] if got(dispatcher) is None else [manager, dispatcher]
