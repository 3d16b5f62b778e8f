// Listens to the events of a Box's workers, as control does, and says each in a few words:
//   new SYN_SENT 120 | update SYN_RECV 60: reply state | destroy TIME_WAIT 0
#pragma once

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "dataplane/flow/flow_event.hh"
#include "dataplane/l4/trackers.hh"
#include "tests/support/box.hh"

namespace sluice::test {

inline std::string event_text(const FlowEvent& event) {
    constexpr std::array<const char*, 3> kKinds{"new", "update", "destroy"};
    constexpr std::array<const char*, 5> kChanges{"reply", "assured", "state", "helper", "mark"};
    const FlowCopy& flow = event.flow;
    std::string text = kKinds[static_cast<std::size_t>(event.kind)];
    const auto states = tracker_of(flow.kind).states;
    if (flow.state < states.size()) text.append(" ").append(states[flow.state]);
    const TimeMs deadline_ms = flow.lifetime.deadline_ms();
    text.append(" ").append(std::to_string(deadline_ms <= event.at_ms ? 0 : (deadline_ms - event.at_ms) / 1000));
    if (event.changes != 0) text.append(":");
    for (std::size_t i = 0; i < kChanges.size(); ++i)
        if ((event.changes >> i & 1) != 0) text.append(" ").append(kChanges[i]);
    return text;
}

class EventEar {
public:
    explicit EventEar(Box& box, unsigned workers = 1, unsigned size = 1024) : box_(box) {
        static unsigned number = 0;
        for (unsigned w = 0; w < workers; ++w)
            rings_.push_back(std::make_unique<Ring<FlowEvent>>("ear" + std::to_string(number++), size, SOCKET_ID_ANY));
        listen();
    }
    void listen() {
        for (unsigned w = 0; w < rings_.size(); ++w) order(w, rings_[w].get());
        box_.settle();
    }
    void stop() {
        for (unsigned w = 0; w < rings_.size(); ++w) order(w, nullptr);
        box_.settle();
    }
    /// What one worker told since the last call.
    std::vector<FlowEvent> events(unsigned worker = 0) {
        std::vector<FlowEvent> all;
        for (FlowEvent event; rings_[worker]->take(&event, 1) == 1;) all.push_back(event);
        return all;
    }
    std::vector<std::string> heard(unsigned worker = 0) {
        std::vector<std::string> texts;
        for (const FlowEvent& event : events(worker)) texts.push_back(event_text(event));
        return texts;
    }

private:
    void order(unsigned worker, Ring<FlowEvent>* ring) {
        if (!box_.lcore(worker).orders.post({OrderKind::watch, 0, 0, 0, reinterpret_cast<std::uint64_t>(ring)}))
            throw std::runtime_error("full");
    }

    Box& box_;
    std::vector<std::unique_ptr<Ring<FlowEvent>>> rings_;
};

}  // namespace sluice::test
