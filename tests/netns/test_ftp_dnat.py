"""FTP with the server behind a port forward: every mode of curl and lftp, up, down and listing, files compared."""
from lab import config
from lab.ftp_cases import add_cases

add_cases(globals(), client=lambda lab: lab.out2, server=lambda lab: lab.in2, address=config.OUTSIDE_BOX)
