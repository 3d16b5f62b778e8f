"""The FTP cases, made for one place of client and server: {curl: 4 modes, lftp: 3 modes} × {down, up, list}."""
import os

from . import clients
from .config import INSIDE_NET
from .servers import make_files

MODES = ("PASV", "EPSV", "PORT", "EPRT")


def upload_file(lab):
    """A file to send, made once."""
    directory = lab.path("to-upload")
    if not os.path.exists(directory):
        make_files(directory)
    return os.path.join(directory, "big.bin")


def check_mode(ftp, mode, before):
    """Clients fall back to another mode when one fails: the server's own log says which one was used."""
    used = {word for word in ftp.commands()[before:] if word in MODES}
    assert used == {mode.upper()}, f"wanted {mode}, the server saw {used}"


def curl_case(mode, client, server, address):
    def case(lab):
        ftp = lab.ftp(server(lab))
        host, words, before = client(lab), clients.CURL_MODES[mode], len(ftp.commands())
        for name in ("small.bin", "big.bin"):
            assert clients.fetch(lab, host, f"ftp://{address}/{name}", *words) == ftp.digests[name], name
        listing = clients.curl(host, *words, f"ftp://{address}/")
        assert all(name in listing for name in ftp.digests), listing
        sent = f"curl-{mode}.bin"
        clients.curl(host, *words, "-T", upload_file(lab), f"ftp://{address}/upload/{sent}")
        assert ftp.uploaded(sent) == ftp.digests["big.bin"]
        check_mode(ftp, mode, before)
    case.__doc__ = f"curl {mode}: down, listing, up"
    return case


def lftp_case(mode, client, server, address):
    def case(lab):
        ftp = lab.ftp(server(lab))
        host, got, sent = client(lab), lab.path(f"lftp-{mode}.got"), f"lftp-{mode}.bin"
        before = len(ftp.commands())
        listing = clients.lftp(host, address, mode, "ls", f"get big.bin -o {got}",
                               f"put {upload_file(lab)} -o upload/{sent}", f"get small.bin -o {got}.small")
        assert all(name in listing for name in ftp.digests), listing
        assert clients.sha256(got) == ftp.digests["big.bin"]
        assert clients.sha256(got + ".small") == ftp.digests["small.bin"]
        assert ftp.uploaded(sent) == ftp.digests["big.bin"]
        check_mode(ftp, mode, before)
    case.__doc__ = f"lftp {mode}: listing, down, up, in one session"
    return case


def add_cases(module, client, server, address):
    for mode in clients.CURL_MODES:
        module[f"case_curl_{mode}"] = curl_case(mode, client, server, address)
    for mode in clients.LFTP_MODES:
        module[f"case_lftp_{mode}"] = lftp_case(mode, client, server, address)

    def case_only_helpers_let_data_in(lab):
        """no rule but RELATED lets the data connections in: the inside is closed to a plain connection"""
        host = client(lab)
        if not host.address.startswith("192.168.1."):
            assert not host.succeeds("nc", "-z", "-w", "1", address, "40001")
        else:
            lab.out1.ip("route", "replace", INSIDE_NET, "via", "203.0.113.1")
            try:
                assert not lab.out1.succeeds("nc", "-z", "-w", "1", host.address, "22")
            finally:
                lab.out1.ip("route", "del", INSIDE_NET)
    module["case_only_helpers_let_data_in"] = case_only_helpers_let_data_in
