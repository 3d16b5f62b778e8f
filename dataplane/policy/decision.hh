// What policy says of a packet: go on, drop for a named reason, answer the sender, or ask another worker first.
#pragma once

#include <cstdint>

#include "dataplane/base/verdict.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

/// What the sender is told (transmit/ builds it).
enum class Answer : std::uint8_t {
    none,
    tcp_reset,
    net_unreachable,       ///< ICMP 3/0, ICMPv6 1/0
    host_unreachable,      ///< ICMP 3/1, ICMPv6 1/3
    port_unreachable,      ///< ICMP 3/3, ICMPv6 1/4
    admin_prohibited,      ///< ICMP 3/13, ICMPv6 1/1
    beyond_scope,          ///< ICMPv6 1/2
    ttl_exceeded,          ///< ICMP 11/0, ICMPv6 3/0
    fragmentation_needed,  ///< ICMP 3/4, ICMPv6 2/0, with the MTU
    reassembly_timeout,    ///< ICMP 11/1, ICMPv6 3/1
};

enum class Fate : std::uint8_t {
    go,
    drop,
    hand_over,  ///< to another worker: the note is in the mbuf
    wait,       ///< was taken, and comes back by itself
};

struct Decision {
    Fate fate = Fate::go;
    DropReason reason{};
    Answer answer = Answer::none;  ///< with drop
    std::uint8_t to_worker = 0;    ///< with hand_over
    std::int32_t log = -1;         ///< a rule on the way logs: prefix id

    static Decision drop(DropReason reason, Answer answer = Answer::none) noexcept {
        return {Fate::drop, reason, answer, 0, -1};
    }
    static Decision hand_over(std::uint8_t to_worker) noexcept {
        return {Fate::hand_over, {}, Answer::none, to_worker, -1};
    }
    static Decision wait() noexcept { return {Fate::wait, {}, Answer::none, 0, -1}; }
    [[nodiscard]] bool is_silent_go() const noexcept { return fate == Fate::go && log < 0; }
};

[[nodiscard]] constexpr Answer answer_for(RejectWith with) noexcept {
    switch (with) {
        case RejectWith::tcp_reset:
            return Answer::tcp_reset;
        case RejectWith::admin_prohibited:
            return Answer::admin_prohibited;
        case RejectWith::port_unreachable:
            break;
    }
    return Answer::port_unreachable;
}

[[nodiscard]] constexpr DropReason dropped_by(Chain chain) noexcept {
    switch (chain) {
        case Chain::input:
            return DropReason::filter_input;
        case Chain::forward:
            return DropReason::filter_forward;
        case Chain::raw:
        case Chain::raw_output:
            return DropReason::filter_raw;
        case Chain::output:
            break;
    }
    return DropReason::filter_output;
}

}  // namespace sluice
