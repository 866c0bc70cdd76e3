"""From a command to a server: the one that the environment names, the one that runs, or a new embedded one."""

from __future__ import annotations

import os

from orchestrator.api.endpoint import Endpoint, read_endpoint
from orchestrator.base.errors import Conflict, NotFound, UsageError
from orchestrator.client import Client, HttpTransport, Transport

URL_VARIABLE = "ORCHESTRATOR_URL"
TOKEN_VARIABLE = "ORCHESTRATOR_TOKEN"


def connect(cluster: str | None = None) -> Client:
    """A client of the configured server, else of the embedded one, which is started where none runs.

    Args:
        cluster: the profile that the server must have; None: whichever it has.

    Raises:
        UsageError: a server's address without a token.
        Conflict: a server with another profile runs.
        ServerUnreachable, TimedOut: the embedded server does not start.
    """
    remote = _remote(60.0)
    if remote is not None:
        client = Client(*remote)
        if cluster is not None:
            check_profile(client.server().profile, cluster)
        return client
    endpoint = _embedded(cluster)
    if cluster is not None:
        check_profile(endpoint.profile, cluster)
    return Client(HttpTransport(endpoint.url), endpoint.token, recover=_recover)


def connect_to_running(*, timeout: float = 60.0) -> Client | None:
    """A client of a server that runs already; None where there is none. Nothing is started."""
    remote = _remote(timeout)
    if remote is not None:
        return Client(*remote)
    endpoint = read_endpoint()
    return None if endpoint is None else Client(HttpTransport(endpoint.url, timeout=timeout), endpoint.token)


def check_tracking(client: Client) -> None:
    """Refuse to queue a job whose metrics would go elsewhere than this command's environment says.

    Raises:
        Conflict: `$MLFLOW_TRACKING_URI` is set here, and the server writes to another place.
    """
    from orchestrator.spec.tracking import TRACKING_VARIABLE

    wanted = os.environ.get(TRACKING_VARIABLE, "").strip()
    if wanted and client.server().tracking_uri != wanted:
        embedded = not os.environ.get(URL_VARIABLE)
        mend = "`orchestrator serve --stop` ends it (its jobs go on); then submit again"
        raise Conflict(
            f"{TRACKING_VARIABLE} is set here, but the server that runs was started with another value",
            hint=mend if embedded else f"unset {TRACKING_VARIABLE}: a team's server has its own",
        )


def other_object_store(client: Client, dataset: str) -> str:
    """What to tell a person whose shell leads to another object store than the server, which reads `dataset`.

    Empty where that makes no difference.
    """
    from orchestrator.spec.objectstore import other_store
    from orchestrator.spec.place import RemotePlace, parse_location

    if not isinstance(parse_location(dataset), RemotePlace):
        return ""
    names = other_store(os.environ, client.server().object_store)
    if not names:
        return ""
    embedded = not os.environ.get(URL_VARIABLE)
    mend = "; `orchestrator serve --stop`, then submit again" if embedded else ""
    return (
        f"{', '.join(names)}: set here to what the server does not have; {dataset} is read as the server is set{mend}"
    )


def _remote(timeout: float) -> tuple[Transport, str] | None:
    url, token = os.environ.get(URL_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    if not url:
        return None
    if not token:
        raise UsageError(f"{URL_VARIABLE} is set, but {TOKEN_VARIABLE} is not", hint=f"set {TOKEN_VARIABLE}")
    return HttpTransport(url, timeout=timeout), token


def _embedded(cluster: str | None) -> Endpoint:
    from orchestrator import __version__

    endpoint = read_endpoint()
    if endpoint is not None and endpoint.version == __version__:
        return endpoint
    from orchestrator.cli.start import ensure_running

    return ensure_running(cluster)


def _recover() -> tuple[Transport, str]:
    endpoint = _embedded(None)
    return HttpTransport(endpoint.url), endpoint.token


def check_profile(running: str, wanted: str) -> None:
    """Refuse another cluster than the one that is served, which may be named as it names itself, or by its file."""
    if running == wanted:
        return
    name, unknown = _name_of(wanted, running)
    if running != name:
        raise Conflict(
            f"the server that runs serves the cluster {running}, not {name}",
            hint=unknown or "`orchestrator serve --stop` ends it (its jobs go on); then try again",
        )


def _name_of(cluster: str, running: str) -> tuple[str, str]:
    """A cluster as it names itself; what was meant where there is none of this name on this machine."""
    from orchestrator.spec.diagnostics import nearest
    from orchestrator.spec.load import load_profile

    try:
        return load_profile(cluster).name, ""
    except NotFound as error:
        near = nearest(cluster, [running])
        return cluster, f"{error.message}; {f'did you mean {near!r}?' if near else error.hint}"
