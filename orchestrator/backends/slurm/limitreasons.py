"""Slurm's reasons that name a limit of a QOS or an account: some 150, made of the same few parts."""

from __future__ import annotations

import re

_LIMIT = re.compile(
    r"(?P<whose>QOS|Assoc)?(?P<kind>Grp|Max|Min)"
    r"(?P<what>Cpu|CPU|Memory|Mem|Node|GRES|License|BB|Billing|Energy|Unknown|Jobs?|SubmitJobs?|WallDuration|Wall)"
    r"(?P<time>RunMinutes|Minutes)?(?P<per>PerJob|PerNode|PerUser|PerAccount)?(?:Limit|NotSatisfied)?"
)
_THINGS = {
    "Cpu": ("cores", "cpu"),
    "Mem": ("memory", "mem"),
    "Node": ("nodes", "node"),
    "GRES": ("GPUs (or other generic resources)", "gres/gpu"),
    "License": ("licenses", "license/…"),
    "BB": ("burst buffer space", "bb/…"),
    "Billing": ("billing units", "billing"),
    "Energy": ("energy", "energy"),
    "Unknown": ("units of some resource", "…"),
}
_SAME = {"CPU": "Cpu", "Memory": "Mem", "Job": "Jobs", "SubmitJob": "SubmitJobs", "WallDuration": "Wall"}
_LESS = "submit it anew with fewer or smaller workers (resources)"
_SHORTER = "submit it anew with a shorter time_limit"


def limit_reached(reason: str) -> tuple[str, str, str] | None:
    """Text, remedy and command for one of these reasons, with {qos}, {account} in them; None: it is none of them."""
    found = _LIMIT.fullmatch(reason)
    if found is None:
        return None
    what = _SAME.get(found["what"], found["what"])
    per = found["per"] or ""
    association = found["whose"] == "Assoc"
    whose = "account {account}" if association else "QOS {qos}"
    if found["kind"] == "Grp":
        text, remedy, key = _together(what, found["time"], whose)
    elif found["kind"] == "Min":
        text, remedy, key = _too_little(what, whose)
    elif per in {"PerUser", "PerAccount"} or what in {"Jobs", "SubmitJobs"}:
        text, remedy, key = _at_a_time(what, per, whose, association)
    else:
        text, remedy, key = _too_much(what, found["time"], per, whose)
    return text, f"{remedy}, or have an operator {_change(key, association)}", _showing(key, association)


def _change(key: str, association: bool) -> str:
    if association:
        return f"change it: sacctmgr modify account {{account}} set {key}=…"
    return f"change it: sacctmgr modify qos {{qos}} set {key}=… (or that of the QOS of partition {{partition}})"


def _showing(key: str, association: bool) -> str:
    name = key.partition("=")[0]
    if association:
        return f"sacctmgr show associations account={{account}} format=Account,User,{name}%40"
    return f"sacctmgr show qos format=Name,{name}%40"


def _together(what: str, time: str | None, whose: str) -> tuple[str, str, str]:
    """A limit on all jobs of a QOS or an account together."""
    if what == "Jobs":
        return f"as many jobs of {whose} run as may together", "wait until some of them end", "GrpJobs"
    if what == "SubmitJobs":
        return f"as many jobs of {whose} wait and run as may together", "wait until some of them end", "GrpSubmitJobs"
    if what == "Wall":
        return f"{whose} has used up its time", "wait until its usage has decayed", "GrpWall"
    if time == "Minutes":
        text = f"{whose} has used up its minutes of {_noun(what)}"
        return text, "wait until its usage has decayed", f"GrpTRESMins={_key(what)}"
    if time == "RunMinutes":
        text = f"the jobs of {whose} that run have asked for all the minutes of {_noun(what)} that they may"
        return text, f"wait until some of its jobs end, or {_SHORTER}", f"GrpTRESRunMins={_key(what)}"
    text = f"the jobs of {whose} together hold all the {_noun(what)} that they may"
    return text, "wait until some of them end", f"GrpTRES={_key(what)}"


def _at_a_time(what: str, per: str, whose: str, association: bool) -> tuple[str, str, str]:
    """A limit on what one user, or one account, has at a time."""
    suffix = "" if association and not per else per or "PerUser"
    who = {
        "PerAccount": "one account may have at a time in {whose}",
        "PerUser": "one user may have at a time in {whose}",
    }
    most = who.get(suffix, "one user may have at a time in {whose}").replace("{whose}", whose)
    holder = "its account ({account})" if per == "PerAccount" else "its user"
    if what in {"Jobs", "SubmitJobs"}:
        state = "run" if what == "Jobs" else "wait and run"
        return f"as many jobs of {holder} {state} as {most}", "wait until some of them end", f"Max{what}{suffix}"
    text = f"{holder} holds all the {_noun(what)} that {most}"
    return text, "wait until some of its jobs end", f"MaxTRES{suffix}={_key(what)}"


def _too_much(what: str, time: str | None, per: str, whose: str) -> tuple[str, str, str]:
    """A limit that this job alone exceeds: no waiting helps."""
    if what == "Wall":
        return f"its time limit is longer than {whose} allows", _SHORTER, "MaxWall"
    if time:
        text = f"its {_noun(what)}, times its time limit, are more than {whose} gives to one job"
        return text, f"{_SHORTER}, or with less of it", f"MaxTRESMins={_key(what)}"
    where = "on one node" if per == "PerNode" else "to one job"
    text = f"it asks for more {_noun(what)} than {whose} gives {where}"
    return text, _LESS, f"MaxTRES{'PerNode' if per == 'PerNode' else ''}={_key(what)}"


def _too_little(what: str, whose: str) -> tuple[str, str, str]:
    """It is smaller than jobs have to be."""
    text = f"it asks for less than {whose} demands of each job ({_noun(what)})"
    return text, "submit it anew with more or larger workers (resources), or name another QOS", f"MinTRES={_key(what)}"


def _noun(what: str) -> str:
    return _THINGS[what][0] if what in _THINGS else what.lower()


def _key(what: str) -> str:
    return _THINGS[what][1] if what in _THINGS else what.lower()
