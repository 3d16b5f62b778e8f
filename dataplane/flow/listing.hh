// A slice of a worker's flows, copied by the worker for control: a listing goes through the slots in pieces of bounded
// work per worker loop and never stops the traffic. A copy is whole: it can also be sent to another box.
//
// Control owns the slice, posts an `OrderKind::list` that points to it and keeps off until `done`.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/flow/expectation.hh"
#include "dataplane/flow/flow_entry.hh"

namespace sluice {

struct FlowCopy {
    FlowKey key[2]{};
    std::uint64_t packets[2]{};
    std::uint64_t bytes[2]{};
    Lifetime lifetime{};
    TimeMs created_ms = 0;
    SlotIndex slot = kNoSlot;
    std::uint32_t generation = 0;
    std::uint32_t snat_rule = kNoRule, dnat_rule = kNoRule;
    std::uint32_t nat_generation = 0;
    std::uint32_t mark = 0;
    std::uint32_t id = 0;
    TcpState tcp_state{};  // of TCP
    L4Kind kind{};
    std::uint8_t state = 0;                     // of the tracker's states, if it has any
    std::array<std::uint32_t, 2> timeouts_s{};  // of its own, which /proc shows (GRE): until answered, from then on
    std::uint8_t status = 0;
};

struct ListSlice {
    static constexpr unsigned kMaxFlows = 128;         ///< copied at most
    static constexpr unsigned kMaxSlotsLooked = 2048;  ///< slots looked at, at most
    enum class What : std::uint8_t { flows, expectations };

    // control fills in before posting
    What what = What::flows;
    SlotIndex from = 0;
    // the worker fills in, then sets `done`
    std::array<FlowCopy, kMaxFlows> flows{};
    std::array<Expectation, kMaxFlows> expectations{};
    unsigned count = 0;
    SlotIndex next = kNoSlot;       ///< where to go on; kNoSlot: that was all
    std::atomic<bool> done{false};  ///< writer: worker (release) / reader: control (acquire)
};

/// Flows to be deleted by name, a bounded number. The same hand-over as a slice: `OrderKind::erase` points to it.
struct EraseBatch {
    static constexpr unsigned kMaxFlows = 128;
    struct Name {
        SlotIndex slot = kNoSlot;
        std::uint32_t generation = 0;  ///< low 24 bits count: what a FlowId has room for
        bool erased = false;           ///< the worker's answer
    };
    std::array<Name, kMaxFlows> flows{};
    unsigned count = 0;
    std::uint32_t by = 0;  ///< process that wants it so
    std::atomic<bool> done{false};
};

/// What `conntrack -U` changes of a flow.
struct FlowUpdate {
    bool set_mark = false;
    std::uint32_t mark = 0;  ///< the new mark is (old & ~mark_mask) ^ mark
    std::uint32_t mark_mask = 0;
    bool set_timeout = false;
    std::uint32_t timeout_s = 0;  ///< from now on, until a packet sets another; below 2^24
    std::uint8_t status = 0;      ///< status:: bits to be set; kSeenReply and kAssured may be
};

/// Flows to be updated by name, a bounded number. The same hand-over: `OrderKind::update` points to it.
struct UpdateBatch {
    static constexpr unsigned kMaxFlows = 128;
    enum class Result : std::uint8_t { gone, unchanged, updated };
    struct One {
        SlotIndex slot = kNoSlot;
        std::uint32_t generation = 0;  ///< low 24 bits count
        Result result = Result::gone;  ///< the worker's answer
        FlowCopy flow{};               ///< with `updated`: as it is now
    };
    FlowUpdate what{};
    std::array<One, kMaxFlows> flows{};
    unsigned count = 0;
    std::uint32_t by = 0;
    std::atomic<bool> done{false};
};

/// A flush under way: `OrderKind::flush` points to it. `erased` is valid once `done`.
struct FlushTicket {
    std::uint64_t erased = 0;
    std::uint32_t by = 0;  ///< process that wants it so
    std::atomic<bool> done{false};
};

}  // namespace sluice
