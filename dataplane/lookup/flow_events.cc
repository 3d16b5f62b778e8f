#include "dataplane/lookup/flow_events.hh"

#include <algorithm>

#include "dataplane/flow/conn_state.hh"

namespace sluice {

void FlowEvents::created(const FlowCopy& flow) noexcept {
    note(flow, FlowEventKind::created, 0, 0, nullptr);
}

void FlowEvents::updated(const FlowCopy& flow, std::uint8_t changes, std::uint32_t by, const void* cause) noexcept {
    note(flow, FlowEventKind::updated, changes, by, cause);
}

void FlowEvents::destroyed(const FlowCopy& flow, std::uint32_t by) noexcept {
    Noted* const end = noted_.data() + count_;
    const auto of_flow = [&](const Noted& n) { return same(n.event, flow); };
    const bool unheard_of = std::any_of(
        noted_.data(), end, [&](const Noted& n) { return of_flow(n) && n.event.kind == FlowEventKind::created; });
    // What waited for a packet of it to leave waits in vain.
    Noted* const left = std::remove_if(
        noted_.data(), end, [&](const Noted& n) { return of_flow(n) && (unheard_of || n.cause != nullptr); });
    count_ = static_cast<unsigned>(left - noted_.data());
    if (!unheard_of) note(flow, FlowEventKind::destroyed, 0, by, nullptr);
}

bool FlowEvents::settle(const void* cause, bool fresh, const FlowCopy& flow, std::uint8_t changes) noexcept {
    for (unsigned i = 0; i < count_; ++i) {
        Noted& n = noted_[i];
        const bool its = fresh ? n.event.kind == FlowEventKind::created && same(n.event, flow) : n.cause == cause;
        if (!its) continue;
        FlowCopy& told = n.event.flow;
        if ((changes & changed::kMark) != 0) told.mark = flow.mark;
        if ((changes & changed::kHelper) != 0)
            told.status = static_cast<std::uint8_t>(told.status | (flow.status & status::kHelper));
        n.event.changes = static_cast<std::uint8_t>(n.event.changes | changes);
        n.cause = nullptr;
        return true;
    }
    return false;
}

void FlowEvents::note(const FlowCopy& flow, FlowEventKind kind, std::uint8_t changes, std::uint32_t by,
                      const void* cause) noexcept {
    if (count_ == noted_.size()) tell_all();
    noted_[count_++] = {{flow, now_ms_, by, kind, changes}, cause};
}

void FlowEvents::post(const FlowEvent& event) noexcept {
    if (ring_ == nullptr) return;
    (ring_->post(event) ? counters_.events_told : counters_.events_lost).add();
}

}  // namespace sluice
