#!/usr/bin/env python3
"""Holds README, docs/, alerts and dashboard to the sources: what they name exists, what they show loads.

Usage: check_docs.py [SLUICECTL [SLUICED]]     with the programs, YAML blocks are loaded by their check
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHECKS = [[program, *words] for program, words in zip(sys.argv[1:3], (["check"], ["--check", "--config"]))]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TOP = "dataplane|control|conf|tests|tools|docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
GUARD_TABLE = "sluice_guard_lan0"       # of nftables: the guard's prefix and a twin
NAMES = re.compile(r"\bsluice_[a-z0-9_]+\b")


def read(path):
    return (ROOT / path).read_text()


def sources(*folders):
    return "\n".join(p.read_text() for folder in folders for p in sorted((ROOT / folder).rglob("*"))
                     if p.suffix in (".cc", ".hh"))


def without_fences(text):
    return FENCE.sub("", text)


def spans(text):
    """What stands between backticks, on one line."""
    return re.findall(r"`([^`\n]+)`", without_fences(text))


def exported_metrics():
    """Name to type, from the exporter's source."""
    return {name: kind for kind, name in
            re.findall(r'b\.(counter|gauge|summary)\("(\w+)"', read("control/metrics/exporter.cc"))}


def is_metric(name, metrics):
    base = re.sub(r"_(sum|count)$", "", name)
    return name in metrics or metrics.get(base) == "summary"


def literals(text):
    """Source text in which a message that is put together from literals is one piece, with … for what varies."""
    text = re.sub(r'"\s*\n?\s*"', "", text)
    return text.replace('\\"', '"')


class DocsTest(unittest.TestCase):
    def each_page(self):
        self.assertGreater(len(PAGES), 5)
        return [(page, page.read_text()) for page in PAGES]

    def test_paths_exist(self):
        found = 0
        for page, text in self.each_page():
            for path in re.findall(rf"(?<![\w/.-])((?:{TOP})/[\w./*-]*)", text):
                path = path.rstrip(".")
                self.assertTrue(any(ROOT.glob(path)), f"{page.name}: {path} does not exist")
                found += 1
            for target in re.findall(r"\]\(([^)#]+)\)", text):
                if not target.startswith("http"):
                    self.assertTrue((page.parent / target).exists(), f"{page.name}: link to {target}")
        self.assertGreater(found, 50)

    def test_metrics_exist_and_are_all_listed(self):
        metrics = exported_metrics()
        self.assertGreater(len(metrics), 40)
        for page in [*PAGES, ROOT / "conf/alerts.yml", ROOT / "conf/dashboard.json"]:
            for name in NAMES.findall(page.read_text()):
                if name != GUARD_TABLE:
                    self.assertTrue(is_metric(name, metrics), f"{page.name}: no metric {name}")
        listed = re.findall(r"^\| `(sluice_\w+)` \| (\w+) \|", read("docs/operations.md"), re.M)
        self.assertEqual(dict(listed), metrics)

    def test_api_is_listed(self):
        code = sources("control/api")
        routes = {(verb.rstrip("_").upper(), path)
                  for verb, path in re.findall(r'router\.add\(http::verb::(\w+), "([^"]+)"', code)}
        routes |= {("GET", path) for path in re.findall(r'add_snapshot_route\(router, box, "([^"]+)"', code)}
        self.assertGreater(len(routes), 10)
        section = read("docs/operations.md").split("## The API")[1].split("\n## ")[0]
        self.assertEqual(set(re.findall(r"`([A-Z]+) (/[\w/]+)`", section)), routes)
        listed = [row for row in section.splitlines() if row.startswith("| `GET /v1/flows` |")][0]
        known = re.findall(r'^    \{"(\w+)", set_', read("control/api/flow_filter.cc"), re.M)
        self.assertGreater(len(known), 15)
        self.assertEqual(set(re.findall(r"`(\w+)`", listed)), set(known))

    def test_label_values_exist(self):
        reasons = set(re.findall(r"^ +X\((\w+), ", read("dataplane/base/verdict.hh"), re.M))
        self.assertGreater(len(reasons), 50)
        shown = reasons | set(re.findall(r'"reason", "(\w+)"', read("control/metrics/exporter.cc")))
        for file in ("conf/alerts.yml", "conf/dashboard.json"):
            for value in re.findall(r'reason=~?\\?"([^"\\]+)', read(file)):
                for reason in value.split("|"):
                    self.assertIn(reason, shown, file)
        table = read("docs/operations.md").split("## When packets do not arrive")[1].split("\n## ")[0]
        for cell in re.findall(r"^\| (`[^|]*) \|", table, re.M):
            for reason in re.findall(r"`(\w+)`", cell):
                self.assertIn(reason, reasons)

    def test_dashboard_is_sound(self):
        dashboard = json.loads(read("conf/dashboard.json"))
        panels = [p for p in dashboard["panels"] if p["type"] != "row"]
        self.assertGreater(len(panels), 15)
        self.assertEqual(len({p["id"] for p in dashboard["panels"]}), len(dashboard["panels"]))
        for panel in panels:
            self.assertTrue(panel["targets"], panel["title"])
            for target in panel["targets"]:
                self.assertRegex(target["expr"], "sluice_")

    def test_sluicectl_commands_and_options_exist(self):
        code = sources("tools/sluicectl")
        commands = set(re.findall(r'add_subcommand\("(\w+)"|add_show\(app, context, "(\w+)"', code))
        commands = {first or second for first, second in commands}
        self.assertGreater(len(commands), 8)
        shown = 0
        for page, text in self.each_page():
            lines = [line for _, block in FENCE.findall(text) for line in block.splitlines()]
            for line in [*lines, *spans(text)]:
                for call in re.findall(r"(?:^|[$;&|] ?)sluicectl ([^|#&;`]*)", line.strip()):
                    words = call.split()
                    self.assertIn(words[0], commands | {"--json", "--help"}, line)
                    for option in re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", re.sub(r"'[^']*'", "", call)):
                        known = re.search(rf"[\",]{option}[\",]", code) or option == "--help"
                        self.assertTrue(known, f"{page.name}: {option} in: {line}")
                    shown += 1
        self.assertGreater(shown, 12)

    def test_yaml_blocks_load(self):
        blocks = 0
        for page, text in self.each_page():
            for language, block in FENCE.findall(text):
                if language != "yaml":
                    continue
                blocks += 1
                self.assertIn("ports:", block)
                with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    file.write(block)
                    file.flush()
                    for check in CHECKS:
                        done = subprocess.run([*check, file.name], capture_output=True, text=True, timeout=60)
                        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(blocks, 2)

    def test_readme_shows_what_check_says(self):
        """The message of `sluicectl check` in the README is what it says of the README's own example, spoilt."""
        example = next(block for language, block in FENCE.findall(read("README.md")) if language == "yaml")
        spoilt = example.replace("port: 80}", "port: 70000}")
        self.assertNotEqual(spoilt, example)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "sluice.yaml").write_text(spoilt)
            for check in CHECKS[:1]:
                program = str(pathlib.Path(check[0]).resolve())
                done = subprocess.run([program, *check[1:], "sluice.yaml"], capture_output=True, text=True, timeout=60,
                                      cwd=folder)
                self.assertEqual(done.returncode, 1)
                self.assertIn("$ sluicectl check sluice.yaml\n" + done.stderr, read("README.md"))

    def test_readme_shows_the_example(self):
        example = [line for line in read("conf/examples/home-gateway.yaml").splitlines() if not line.startswith("#")]
        self.assertIn("\n".join(example), read("README.md"))

    def test_words_of_the_code_exist(self):
        """A word_with_underscores between backticks is a name in the code or a key of the configuration."""
        code = sources("dataplane", "control", "tools/sluicectl") + read("conf/sluice.reference.yaml")
        words = set(re.findall(r"\w+", code))
        keys = set(re.findall(r"^ *(?:- )?([a-z_]+):", read("conf/sluice.reference.yaml"), re.M))
        for page, text in self.each_page():
            for span in spans(text):
                if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", span) and not span.startswith("nf_") and \
                        span != GUARD_TABLE:
                    self.assertTrue(span in words or re.sub("[0-9]+$", "", span) in words, f"{page.name}: {span}")
                if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", span) and span.split(".")[0] in keys:
                    for part in span.split("."):
                        self.assertIn(part, keys, span)

    def test_start_failures_are_those_of_the_code(self):
        code = literals(sources("dataplane", "control"))
        table = read("docs/operations.md").split("## When it does not start")[1].split("\n## ")[0]
        messages = re.findall(r"^\| `([^`]+)` \|", table, re.M)
        self.assertGreater(len(messages), 20)
        for message in messages:
            for part in re.split(r"…|\(…\)", message):
                part = part.strip(" :().")
                if len(part) >= 6:
                    self.assertTrue(part in code, f"no source says: {part}")

    def test_nothing_unfinished_and_width(self):
        for page, text in self.each_page():
            for number, line in enumerate(text.splitlines(), 1):
                self.assertNotRegex(line, r"\b(TODO|FIXME|TBD|XXX)\b")
                fits = len(line) <= 120 or line.lstrip().startswith(("|", "tcp "))  # tables, and a line of conntrack
                self.assertTrue(fits, f"{page.name}:{number}: {len(line)} columns")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
