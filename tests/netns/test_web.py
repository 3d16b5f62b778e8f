"""HTTP through masquerade and through a port forward, also many at once."""
from lab import config
from lab.clients import curl, fetch, http_many


def case_every_size_through_masquerade(lab):
    web = lab.web(lab.out1)
    for name, digest in web.digests.items():
        assert fetch(lab, lab.in1, f"http://{config.OUT1}/{name}") == digest, name


def case_port_forward(lab):
    """a web page through the port forward"""
    web = lab.web(lab.in2)
    url = f"http://{config.OUTSIDE_BOX}:8080"
    assert curl(lab.out2, f"{url}/") == "hello from in2\n"
    assert fetch(lab, lab.out2, f"{url}/big.bin") == web.digests["big.bin"]


def case_unpublished_port_is_closed(lab):
    lab.web(lab.in2)
    assert not lab.out2.succeeds("nc", "-z", "-w", "1", config.OUTSIDE_BOX, "80")


def case_five_hundred_at_once(lab):
    """500 parallel downloads through masquerade"""
    web = lab.web(lab.out1)
    print("        ", http_many(lab.in1, config.OUT1, 80, "/page.bin", 500, web.digests["page.bin"]).strip())


def case_five_hundred_in(lab):
    """500 parallel downloads through the port forward"""
    web = lab.web(lab.in2)
    print("        ", http_many(lab.out2, config.OUTSIDE_BOX, 8080, "/page.bin", 500, web.digests["page.bin"]).strip())
