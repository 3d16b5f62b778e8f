#include "control/app/event_hub.hh"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace sluice {

/// What a listener holds: it goes, and the listener with it.
class EventHub::Watch : public api::EventWatch {
public:
    Watch(EventHub& hub, api::EventHandlers handlers) : hub_(hub), handlers_(std::move(handlers)) {
        hub_.listeners_.push_back(this);
    }
    ~Watch() override {
        std::erase(hub_.listeners_, this);
        hub_.order();
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    void count_lost(std::uint64_t events) override { hub_.lost_by_listeners_ += events; }

    [[nodiscard]] const api::EventHandlers& handlers() const noexcept { return handlers_; }

private:
    EventHub& hub_;
    api::EventHandlers handlers_;
};

EventHub::EventHub(const std::vector<Worker>& workers, Describe describe) : describe_(std::move(describe)) {
    for (const Worker& worker : workers) sources_.push_back({worker, {}, false, 0});
}

EventHub::~EventHub() = default;

std::unique_ptr<api::EventWatch> EventHub::watch(api::EventHandlers handlers) {
    static unsigned number = 0;
    try {
        for (Source& source : sources_)
            if (!source.ring)
                source.ring = Ring<FlowEvent>("events" + std::to_string(number++), kRingSize, SOCKET_ID_ANY);
    } catch (const std::runtime_error&) {
        throw api::EventsRefused("no memory for the rings of events (memory.megabytes)");
    }
    auto watch = std::make_unique<Watch>(*this, std::move(handlers));
    order();
    return watch;
}

/// Tells the workers what has changed. A full order ring is tried again by poll().
void EventHub::order() {
    const bool wanted = !listeners_.empty();
    for (Source& source : sources_) {
        if (source.filling == wanted) continue;
        if (wanted) source.lost = source.worker.lost->get();
        const auto target = wanted ? reinterpret_cast<std::uint64_t>(&source.ring) : 0;
        if (source.worker.orders->post({OrderKind::watch, 0, 0, 0, target})) source.filling = wanted;
    }
}

/// A listener may leave while it is told, and another come.
template <class Tell>
void EventHub::tell(Tell&& tell) {
    const std::vector<Watch*> now = listeners_;
    for (Watch* listener : now)
        if (std::ranges::find(listeners_, listener) != listeners_.end()) tell(listener->handlers());
}

bool EventHub::poll(unsigned budget) {
    order();
    bool more = false;
    for (unsigned i = 0; i < sources_.size(); ++i) {
        Source& source = sources_[i];
        if (!source.ring) continue;
        std::array<FlowEvent, 64> batch;
        for (unsigned taken = 0; taken < budget;) {
            const unsigned n =
                source.ring.take(batch.data(), std::min<unsigned>(static_cast<unsigned>(batch.size()), budget - taken));
            if (n == 0) break;
            taken += n;
            told_ += n;
            if (listeners_.empty()) continue;
            for (unsigned e = 0; e < n; ++e) {
                const api::FlowEventRecord record = describe_(i, batch[e]);
                tell([&](const api::EventHandlers& to) { to.event(record); });
            }
        }
        more = more || source.ring.count() != 0;
        if (listeners_.empty()) continue;
        if (const std::uint64_t lost = source.worker.lost->get(); lost != source.lost) {
            const std::uint64_t events = lost - std::exchange(source.lost, lost);
            tell([&](const api::EventHandlers& to) { to.lost(events); });
        }
    }
    return more;
}

}  // namespace sluice
