"""FTP with clients behind masquerade: every mode of curl and lftp, up, down and listing, files compared."""
from lab import config
from lab.ftp_cases import add_cases

add_cases(globals(), client=lambda lab: lab.in1, server=lambda lab: lab.out1, address=config.OUT1)
