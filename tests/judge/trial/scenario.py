"""A scenario file: what it may hold, how it is read, and how `--record` writes down what Linux does.

    shows: one sentence; the file's name says the same in short
    rules: routed                    a file of rules/, or {base: routed, …sections of sluice's YAML that take its place}
    flow: tcp in1:40000 > out1:80    what `>` and `<` stand for (language.py); optional
    begin: established               steps of beginnings/ that come first; optional
    random: true                     ports that the file does not name are chosen freely: their class is compared
    pending: why                     sluice does not do it yet: reported, and a failure once it does
    differs: "A heading"             intended: a paragraph of docs/differences.md begins with these words in bold
    steps:
      - send: "> S seq 1000"         one packet, or a list of packets that come in one burst
        out: passes                  passes | dropped | what came out, a line for each packet
        state: tcp SYN_SENT 100s …   the listing after it: none, a line, or a list of lines
      - wait: 2.5                    seconds
    counters: {forward: [1, 0]}      packets that each filter rule has counted at the end; compared when it is there

`out`, `state` and `counters` are what Linux does; they are compared in every run, so a file is true or the run fails.
Where sluice differs by intent, `sluice: {out: …, state: …}` beside them says what it does instead.
"""
import copy
import functools
import pathlib

import yaml

from .language import Text, endpoint, words_of

HERE = pathlib.Path(__file__).resolve().parent.parent
KEYS = {"shows", "rules", "flow", "begin", "random", "pending", "differs", "steps", "counters"}
STEP_KEYS = {"send", "wait", "out", "state", "sluice"}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ScenarioError(Exception):
    """A scenario file is wrong in itself."""


@functools.cache
def load(path):
    """The data of a YAML file, not to be changed."""
    with open(path) as file:
        return yaml.load(file, LOADER)


def merged(base, change):
    """Mappings are merged, everything else is replaced."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def rules_of(value):
    """The configuration that `rules:` stands for, complete."""
    change = {}
    if isinstance(value, dict):
        change = {key: item for key, item in value.items() if key != "base"}
        value = value.get("base", "routed")
    path = HERE / "rules" / f"{value}.yaml"
    if not path.exists():
        raise ScenarioError(f"there is no {path.relative_to(HERE)}")
    return merged(merged(load(HERE / "rules" / "base.yaml"), load(path) or {}), change)


class Step:
    def __init__(self, values, recorded=True):
        unknown = set(values) - STEP_KEYS
        if unknown:
            raise ScenarioError(f"a step has no {', '.join(sorted(unknown))}")
        send = values.get("send", [])
        self.send = [send] if isinstance(send, str) else send
        self.wait = float(values.get("wait", 0))
        self.recorded = recorded        # a beginning's steps are compared between the boxes, not with a text
        self.out, self.state, self.sluice = values.get("out"), values.get("state"), values.get("sluice")

    def title(self):
        return "; ".join(self.send) or f"wait {self.wait:g} s"


class Flow:
    """`flow: tcp in1:40000 > out1:80`."""

    def __init__(self, text):
        words = words_of(text)
        if len(words) != 4 or words[2] != ">":
            raise ScenarioError(f"flow: {text}: it is written PROTO SOURCE > DESTINATION")
        self.proto, self.src, self.dst = words[0], endpoint(words[1]), endpoint(words[3])


class Scenario:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.name = str(self.path.relative_to(HERE / "scenarios").with_suffix(""))
        values = load(path)
        unknown = set(values) - KEYS
        if unknown:
            raise ScenarioError(f"{self.name}: there is no {', '.join(sorted(unknown))} in a scenario")
        for key in ("shows", "steps"):
            if not values.get(key):
                raise ScenarioError(f"{self.name}: it has no {key}")
        self.values = values
        self.shows, self.pending, self.differs = values["shows"], values.get("pending"), values.get("differs")
        self.rules = values.get("rules", "routed")
        self.config = rules_of(self.rules)
        self.flow = Flow(values["flow"]) if "flow" in values else None
        self.random = bool(values.get("random"))
        self.steps = []
        if "begin" in values:
            self.begin()
        self.steps += [Step(step) for step in values["steps"]]
        self.counters = values.get("counters")

    def begin(self):
        path = HERE / "beginnings" / f"{self.values['begin']}.yaml"
        if not path.exists():
            raise ScenarioError(f"{self.name}: there is no {path.relative_to(HERE)}")
        beginning = load(path)
        if self.flow is None:
            self.flow = Flow(beginning["flow"])
        self.steps += [Step({"send": text} if isinstance(text, str) else text, False) for text in beginning["steps"]]

    def literals(self):
        """Every number in the file that a port could be."""
        text = yaml.safe_dump({key: self.values.get(key) for key in ("flow", "begin")})
        text += " ".join(word for step in self.steps for word in step.send)
        if self.flow:
            text += f" {self.flow.src[1]} {self.flow.dst[1]}"
        number, found = "", set()
        for letter in text + " ":
            if letter.isdigit():
                number += letter
            elif number:
                found.add(int(number) if len(number) < 8 else 0)
                number = ""
        return found

    # --- writing

    def mark_pending(self, why):
        self.pending = why
        if why is None:
            del self.values["pending"]
        else:
            self.values["pending"] = why
        self.write()

    def write(self):
        out = [f"shows: {quoted(self.shows)}"]
        for key in ("rules", "flow", "begin", "random", "pending", "differs"):
            if key in self.values:
                out.append(f"{key}: {inline(self.values[key])}")
        out.append("steps:")
        for step in self.steps:
            if step.recorded:
                out += step_lines(step)
        if self.counters is not None:
            out.append(f"counters: {inline(self.counters)}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(out) + "\n")


def quoted(text):
    """A YAML scalar on one line."""
    return yaml.safe_dump(text, width=10000, default_flow_style=True, allow_unicode=True).splitlines()[0]


def inline(value):
    return yaml.safe_dump(value, width=10000, default_flow_style=True, allow_unicode=True, sort_keys=False).split(
        "\n...")[0].strip()


def entry(key, value, indent):
    if isinstance(value, list):
        if not value:
            return [f"{indent}{key}: []"]
        return [f"{indent}{key}:"] + [f"{indent}  - {quoted(item)}" for item in value]
    return [f"{indent}{key}: {inline(value)}"]


def step_lines(step):
    lines = []
    if step.wait:
        lines += entry("wait", int(step.wait) if step.wait == int(step.wait) else step.wait, "    ")
    if step.send:
        lines += entry("send", step.send[0] if len(step.send) == 1 else step.send, "    ")
        if step.out is not None:
            lines += entry("out", step.out, "    ")
    if step.state is not None:
        lines += entry("state", step.state, "    ")
    if step.sluice:
        lines.append("    sluice:")
        for key, value in step.sluice.items():
            lines += entry(key, value, "      ")
    return ["  - " + lines[0].lstrip()] + lines[1:]


def all_scenarios():
    return sorted((HERE / "scenarios").rglob("*.yaml"))
