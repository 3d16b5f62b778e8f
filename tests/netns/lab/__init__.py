"""A laboratory of real processes: hosts in private network namespaces around a box that forwards between them.

                    192.168.1.0/24                        203.0.113.0/24
    in1 .10 ──┐                                                      ┌── out1 .10
              ├── brin ── l1 [ box: 192.168.1.1 | 203.0.113.1 ] w1 ── brout ──┤
    in2 .20 ──┘                                                      └── out2 .20

The outside hosts have no route to the inside: a packet that reaches them without translation gets no answer.
Two boxes fit in the middle: sluice, and Linux with nftables as the judge (box_linux, box_sluice).
"""
