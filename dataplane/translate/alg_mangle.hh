// The mangling half of a helper: reads a control connection's stream in its order, holds and joins split lines, writes
// what the peer is to be told into the payload and shifts SEQ, ACK and SACK (RFC 793, RFC 2018). What an announcement
// means is decided in track/alg.
//
// Runs after the headers are rewritten, on the packet that is about to leave: whatever it notes has really passed. The
// order for a segment with payload:
//
//   gate (nothing runs ahead of what was read) → join with held text → find line starts → lines: announce, or hold the
//   incomplete last one → record and write the texts → note how far the stream has come → SEQ
//
// and for every segment: ACK and SACK back into the numbers of the peer; a lifted ACK answers for held text. Packets
// without payload on a connection where nothing is shifted or held cost two loads and a branch.
//
// What cannot leave now is cut off or dropped, and TCP sends it again: a line that would change more text than is
// remembered, what has grown beyond the exit's MTU. FIN, URG and RST segments are never held; SYN data is never read.
//
// Owner: one worker. No allocation; failure is a drop with a reason.
#pragma once

#include "dataplane/base/clock.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/policy.hh"
#include "dataplane/track/alg/alg.hh"

namespace sluice {

class AlgMangle {
public:
    AlgMangle(Alg& alg, FlowStore& store, Disposal& disposal, WorkerCounters& counters) noexcept
        : alg_(alg), store_(store), disposal_(disposal), counters_(counters) {}

    /// A packet of a flow with status::kHelper, headers rewritten. `mtu`: IP bytes that may leave; 0: 1500.
    Verdict apply(Packet& p, const Policy& policy, std::uint16_t mtu, Now now) noexcept;

private:
    struct Segment;
    struct Edits;

    Verdict forward(Packet& p, const Policy& policy, FtpState& state, Segment& s, Now now) noexcept;
    Verdict read_lines(Packet& p, const Policy& policy, FtpState& state, Segment& s, std::size_t from, Edits& edits,
                       Now now) noexcept;
    Verdict read_announcement(Packet& p, const Policy& policy, FtpState& state, Segment& s, std::size_t from,
                              const FtpCommand& command, Edits& edits, Now now) noexcept;
    bool write(Packet& p, FtpStream& own, Segment& s, Edits& edits) noexcept;
    void backward(Packet& p, FtpStream& peer, std::uint32_t& checksum_sum) noexcept;
    void finish(Packet& p, FtpStream& own, FtpStream& peer, const Segment& s) noexcept;

    Alg& alg_;
    FlowStore& store_;
    Disposal& disposal_;
    WorkerCounters& counters_;
};

}  // namespace sluice
