// All that one worker owns, made in one place: tables, rings to control and to the other workers, random numbers,
// helpers, the way out, and the pipeline over them. Two of these in one process share nothing but what `Shared` names.
//
// Life cycle: made by control (or a test) on start, before its worker runs; destroyed after the worker has ended.
// Failure policy: throws std::runtime_error when memory is short.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/pipeline.hh"

namespace sluice {

/// What all workers share. Publications are read by workers; rings have one producer and one consumer each.
struct SharedParts {
    const PortTable& ports;
    const HomeMap& homes;
    const Publication<Policy>& policy;
    RouteTable& routes;
    HandoffRings& handoff;
    rte_mempool* packets;  ///< for what workers generate
    HashSecret secret;
    std::uint64_t random_seed;
};

/// Sizes that are fixed while the process runs.
struct LcoreSizes {
    std::uint32_t flows = 0;  ///< slots of this worker
    std::uint32_t expectations = 1024;
    std::uint32_t helper_states = 4096;  ///< connections with a helper at once
    std::uint32_t notices = 16384;       ///< ring sizes, powers of two
    std::uint32_t orders = 16384;
    std::uint32_t punts = 2048;
    std::uint32_t from_kernel = 2048;
    std::uint32_t peer_messages = 4096;
    HeldPackets::Options held{};
    FirstPackets::Options first_packets{};
    Reassembly::Options fragments{};
};

struct Lcore {
    /// `tag` makes names unique in the process (tests run several boxes), at most 8 characters.
    Lcore(const std::string& tag, std::uint8_t worker, unsigned workers, const SharedParts& shared,
          const LcoreSizes& sizes, int socket);
    Lcore(const Lcore&) = delete;
    Lcore& operator=(const Lcore&) = delete;

    /// Which worker transmits on a device on which this one has no queue (before the worker runs).
    void transmit_by(std::uint16_t device, unsigned worker) noexcept {
        tx_worker_[device] = static_cast<std::uint8_t>(worker);
    }

    /// Once all Lcores exist: rings for messages between workers.
    static void connect(std::vector<std::unique_ptr<Lcore>>& all);

    WorkerCounters counters;
    Disposal disposal{counters};
    Ring<Notice> to_control;                    ///< worker → control
    Ring<Order> orders;                         ///< control → worker
    Ring<rte_mbuf*> punt_ring;                  ///< worker → control
    Ring<rte_mbuf*> from_kernel;                ///< control → worker
    std::vector<Ring<PeerMessage>> from_peers;  ///< by sending worker; unused at the own index
    FastRandom random;
    Reassembly reassembly;
    FlowStore store;
    ExpectTable expectations;
    FirstPackets firsts;
    FlowCreator creator;
    Alg alg;
    AlgMangle mangle;
    Handoff handoff;
    Punts punts;
    TxBuffers tx;
    HeldPackets held;
    Answers answers;
    Egress egress;
    std::unique_ptr<Pipeline> pipeline;  ///< set by connect()

private:
    static void hand_to_transmitter(void* self, std::uint16_t device, rte_mbuf* m) noexcept;
    static void lost_on_the_way(void* self, unsigned to, rte_mbuf* m) noexcept;

    std::uint8_t worker_;
    SharedParts shared_;
    std::array<std::uint8_t, TxBuffers::kDevices> tx_worker_{};
};

}  // namespace sluice
