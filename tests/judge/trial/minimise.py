"""A conversation that differs, made short: packets are taken away as long as a difference of its kind remains,
and the rest is written as a scenario."""
import copy

from .contest import FIRST_PORT
from .conversation import NETS


def without(conversation, numbers):
    shorter = copy.copy(conversation)
    shorter.said = [packet for number, packet in enumerate(conversation.said) if number not in numbers]
    return shorter


def minimise(contest, difference):
    """The shortest conversation found that still differs; None when it does not differ when it is alone."""
    best = copy.copy(difference.conversation)
    best.said, kind = best.said[:difference.at + 1], difference.kind()
    if not contest.differs(best, kind):
        return None
    again = True
    while again and len(best.said) > 1:
        again = False
        for number in range(len(best.said) - 1, -1, -1):
            shorter = without(best, {number})
            if shorter.said and contest.differs(shorter, kind):
                best, again = shorter, True
                break
    return best


def scenario_text(conversation, rules):
    """The scenario without what comes out: `run.py --record` fills that in."""
    lines = [f"shows: conversation {conversation.number} of seed {conversation.seed}, what is left of it",
             f"rules: {rules}"]
    if conversation.flow:
        lines.append(f"flow: {conversation.flow.format(FIRST_PORT)}")
    lines.append("steps:")
    answer = NETS[conversation.family].name("wan" if rules == "masquerade" else "in1")
    for packet in conversation.said:
        text = packet.text(FIRST_PORT, answer)
        lines.append(f'  - send: "{text}"')
    return "\n".join(lines) + "\n"
