# Bash completion of sluicectl. Installed as share/bash-completion/completions/sluicectl.
_sluicectl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' word
    local commands='conntrack proc rules nat ports stats expectations config version metrics cycles capture reload check'
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case " $commands " in *" $word "*) command=$word; break ;; esac
    done
    case $prev in
        --socket|-w) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        -p|--proto|--protonum) mapfile -t COMPREPLY < <(compgen -W 'tcp udp icmp icmpv6 sctp gre esp' -- "$cur"); return ;;
        -f|--family) mapfile -t COMPREPLY < <(compgen -W 'ipv4 ipv6' -- "$cur"); return ;;
        -u|--status) mapfile -t COMPREPLY < <(compgen -W 'ASSURED SEEN_REPLY UNREPLIED EXPECTED' -- "$cur"); return ;;
        -o|--output) mapfile -t COMPREPLY < <(compgen -W 'extended id extended,id save timestamp ktimestamp labels json' -- "$cur"); return ;;
        -e|--event-mask) mapfile -t COMPREPLY < <(compgen -W 'NEW UPDATES DESTROY NEW,DESTROY ALL' -- "$cur"); return ;;
        --state)
            mapfile -t COMPREPLY < <(compgen -W 'SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK
                TIME_WAIT CLOSE SYN_SENT2' -- "$cur")
            return ;;
        --port|-i)
            # Names come from the running daemon; without one there is nothing to offer.
            mapfile -t COMPREPLY < <(compgen -W "$(sluicectl ports 2>/dev/null | awk 'NR > 1 {print $1}')" -- "$cur")
            return ;;
    esac
    case $command in
        '') mapfile -t COMPREPLY < <(compgen -W "$commands --socket --timeout --json --version --help" -- "$cur") ;;
        conntrack)
            mapfile -t COMPREPLY < <(compgen -W '-L -E -G -D -U -C -S -F -p -s -d -r -q -n -g -j -m -u -f -w -o --src --dst --reply-src
                --reply-dst --sport --dport --reply-port-src --reply-port-dst --icmp-type --icmp-code --icmp-id --state
                --status --timeout --event-mask --buffer-size --src-nat --dst-nat --any-nat --mark --zone --family --output
                --orig-src --orig-dst --orig-port-src --orig-port-dst --mask-src --mask-dst --id --json --help' -- "$cur") ;;
        capture) mapfile -t COMPREPLY < <(compgen -W '--port --filter -c -s -w --json --help' -- "$cur") ;;
        cycles) mapfile -t COMPREPLY < <(compgen -W '--seconds --watch --json --help' -- "$cur") ;;
        stats) mapfile -t COMPREPLY < <(compgen -W '--all --json --help' -- "$cur") ;;
        check) mapfile -t COMPREPLY < <(compgen -f -W '--running --json --help' -- "$cur") ;;
        *) mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$cur") ;;
    esac
}
complete -F _sluicectl sluicectl
