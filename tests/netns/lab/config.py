"""Configurations in the shape of sluice's YAML, as Python data: one description for both boxes."""
import copy
import json
import os

INSIDE_NET, INSIDE_BOX = "192.168.1.0/24", "192.168.1.1"
OUTSIDE_BOX = "203.0.113.1"
INSIDE_MAC, OUTSIDE_MAC = "02:00:00:00:01:01", "02:00:00:00:02:01"
IN1, IN2 = "192.168.1.10", "192.168.1.20"
OUT1, OUT2 = "203.0.113.10", "203.0.113.20"


def cores():
    """(main, workers): one worker beside the main lcore; on a machine with one core they share it."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], [usable[1] if len(usable) > 1 else usable[0]]


def base():
    """What most scenarios run: masquerade, an FTP and a web server published, established traffic and pings let in."""
    main, workers = cores()
    return {
        "workers": {"cores": workers, "main": main, "idle": "sleep"},
        "memory": {"hugepages": "auto", "megabytes": 512},
        "ports": [
            {"name": "lan", "device": "net_af_xdp0,iface=l1", "role": "inside", "tap": "lan0",
             "addresses": [INSIDE_BOX + "/24"]},
            {"name": "wan", "device": "net_af_xdp1,iface=w1", "role": "outside", "tap": "wan0",
             "addresses": [OUTSIDE_BOX + "/24"]},
        ],
        "groups": {"addresses": {"published": [IN2]}, "ports": {"services": [21, 80, 5201]}},
        "conntrack": {"max": 65536, "profile": "linux"},
        "helpers": {"ftp": {"ports": [21], "loose": False}},
        "filter": {
            "input": {"policy": "drop", "rules": [
                {"state": ["established", "related"], "action": "accept"},
                {"proto": "icmp", "action": "accept", "comment": "ping"},
            ]},
            "forward": {"policy": "drop", "rules": [
                {"state": ["established", "related"], "action": "accept"},
                {"state": ["invalid"], "action": "drop"},
                {"in": "lan", "out": "wan", "action": "accept", "comment": "inside out"},
                {"in": "wan", "out": "lan", "proto": "tcp", "dst": "published", "dport": "services",
                 "action": "accept", "comment": "published"},
            ]},
        },
        "nat": [
            {"out": "wan", "src": INSIDE_NET, "snat": "masquerade"},
            {"in": "wan", "dst": OUTSIDE_BOX, "proto": "tcp", "dport": 21, "dnat": {"to": IN2}},
            {"in": "wan", "dst": OUTSIDE_BOX, "proto": "tcp", "dport": 8080, "dnat": {"to": IN2, "port": 80}},
        ],
        "metrics": {"listen": "127.0.0.1:9140"},
    }


def changed(config, **paths):
    """A copy with values set by path, a double underscore for the dot: changed(c, conntrack__max=64)."""
    result = copy.deepcopy(config)
    for path, value in paths.items():
        *way, last = path.split("__")
        place = result
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return result


def yaml(config):
    """YAML text: block style for the first two levels, flow style (which JSON is) below, as people write it."""
    lines = []
    for key, value in config.items():
        if isinstance(value, list):
            lines.append(f"{key}:")
            lines += [f"  - {json.dumps(item)}" for item in value]
        elif isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {name}: {json.dumps(item)}" for name, item in value.items()]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
