"""The judge: Linux and sluice are given the same packets, and must do the same with them.

    packets       IPv4 frames: made from numbers, taken apart again, compared after masking
    language      the text in which scenarios write packets, and in which a packet that came out is told
    scenario      a scenario file: read, checked, written
    wires         two network ports of a box, from the outside: frames in, frames out, a sentinel behind each
    boxes         the boxes in the middle: Linux, sluiced, sluice's data plane in process; listing and counters
    compare       what may differ between two boxes, and is masked
    play          one scenario through two boxes, step by step
    differences   the list of intended differences, docs/differences.md
    conversation  random conversations from a seed
    sctp          those of SCTP
    contest       many conversations through two boxes at once, packet by packet
    minimise      a conversation that differs, made short
"""
